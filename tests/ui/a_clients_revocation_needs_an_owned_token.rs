use annul::Reason;
use annul::Revocation;
use annul::Target;
use annul::Timestamp;

fn main() {
    let now = Timestamp::default();
    let _ = Revocation::by_client(Target::Everything, Reason::ClientRequest, now, "web".into());
}
