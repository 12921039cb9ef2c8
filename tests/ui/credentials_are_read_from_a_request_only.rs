use annul::Policy;
use annul::Request;
use annul::client::Credentials;
use annul::client::Presented;

fn forge<'a>(
    presented: Presented<'a>,
    request: &'a Request<'a>,
    policy: &'a Policy,
) -> Credentials<'a> {
    Credentials {
        presented,
        subject: None,
        request,
        policy,
    }
}

fn main() {}
