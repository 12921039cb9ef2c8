use annul::Revocation;
use annul::Target;

fn widen(mut revocation: Revocation) {
    revocation.target = Target::Everything;
}

fn main() {}
