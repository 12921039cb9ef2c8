use annul::DigestKey;
use annul::PresentedSecret;
use annul::PresentedToken;
use annul::Secret;

fn main() {
    let token = PresentedToken::new("a");
    let secret = PresentedSecret::new("a");
    println!("{token}");
    println!("{secret}");
    println!("{}", Secret::new("a"));
    println!("{}", DigestKey::new(&[0; 32]));
    let _ = token == PresentedToken::new("b");
    let _ = secret == PresentedSecret::new("b");
    let _ = Secret::new("a") == Secret::new("b");
}
