use annul::Actor;
use annul::Reason;
use annul::Revocation;
use annul::Target;
use annul::Timestamp;

fn main() {
    let _ = Revocation {
        target: Target::Everything,
        at: Timestamp::default(),
        recorded_at: Timestamp::default(),
        reason: Reason::ClientRequest,
        actor: Actor::Client("web".into()),
    };
}
