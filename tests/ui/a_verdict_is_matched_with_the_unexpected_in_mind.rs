use annul::Verdict;

fn accept(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Active(_) => true,
        Verdict::Consumed | Verdict::Expired | Verdict::Revoked { .. } | Verdict::Unknown => false,
    }
}

fn main() {}
