use annul::client::Credentials;
use annul::client::Presented;
use annul::policy::MethodMatch;

fn forge(presented: Presented<'_>) -> Credentials<'_> {
    Credentials {
        presented,
        methods: MethodMatch::Registered,
    }
}

fn main() {}
