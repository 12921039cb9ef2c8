use annul::Request;

fn main() {
    let request = {
        let body = String::from("token=45ghiukldjahdnhzdauz");
        Request::post(body.as_bytes())
    };
    println!("{}", request.method());
}
