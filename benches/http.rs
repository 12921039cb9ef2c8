//! The endpoints over HTTP. To come.

fn main() {}
