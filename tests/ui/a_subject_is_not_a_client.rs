use annul::ClientId;
use annul::Subject;
use annul::Target;

fn main() {
    let (alice, web) = (Subject::new("alice"), ClientId::new("web"));
    let _ = Target::SubjectAtClient(web, alice);
}
