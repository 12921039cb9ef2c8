use annul::Response;

fn main() {
    let _ = Response::empty(200, &[]);
}
