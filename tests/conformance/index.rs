//! Every requirement on the authorization server, and what became of it.

/// What became of one requirement.
pub(crate) enum Status {
    /// Tested by these functions of the same file or folder.
    Tested(&'static [&'static str]),
    /// Deliberately not done, for this reason.
    NotDone(&'static str),
}

/// The requirements of one file or folder.
pub(crate) struct Index {
    /// The text of the file, or of each file of the folder, in which the functions are looked for.
    pub(crate) source: &'static str,
    /// The requirements, by their numbers.
    pub(crate) requirements: &'static [(&'static str, Status)],
}

const ALL: &[&Index] = &[
    &crate::attestation::INDEX,
    &crate::fapi::INDEX,
    &crate::introspection::INDEX,
    &crate::keycloak::INDEX,
    &crate::metadata::INDEX,
    &crate::rfc6749::INDEX,
    &crate::rfc7009::INDEX,
    &crate::rfc7523::INDEX,
    &crate::rfc8705::INDEX,
    &crate::rotation::INDEX,
    &crate::sessions::INDEX,
];

/// The numbers that must be accounted for: prefix, and the numbers used in the checklist.
const REQUIRED: &[(&str, &[u32])] = &[
    (
        "R7009",
        &[
            1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 30, 31, 32, 33, 34,
            36, 37, 40, 41, 42, 43, 44, 45, 46, 47, 50, 51, 52, 60, 61, 62, 63, 64,
        ],
    ),
    ("PAR", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ("CLI", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]),
    ("ERR", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ("JWA", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]),
    ("ATT", &[1, 2, 3]),
    ("FAPI", &[1]),
    ("ROT", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]),
    ("SID", &[1, 2]),
    ("MET", &[1, 2, 3, 4, 5, 7, 8, 9, 10]),
    ("INT", &[1, 2, 3, 4, 5, 6, 7]),
    ("TLS", &[1, 2, 3, 4, 5, 6]),
    ("KC", &[1, 2, 3, 4, 5, 6, 7, 20, 21, 22, 23, 24]),
];

#[test]
fn every_requirement_is_accounted_for_once() {
    let listed: Vec<&str> =
        ALL.iter().flat_map(|index| index.requirements.iter().map(|(id, _)| *id)).collect();
    for (prefix, numbers) in REQUIRED {
        for number in *numbers {
            let id = format!("{prefix}-{number:02}");
            let times = listed.iter().filter(|listed| **listed == id).count();
            assert_eq!(times, 1, "{id} is listed {times} times");
        }
    }
    let required: usize = REQUIRED.iter().map(|(_, numbers)| numbers.len()).sum();
    assert_eq!(listed.len(), required, "a requirement is listed that is not required");
}

#[test]
fn every_test_that_is_named_exists_and_every_omission_has_a_reason() {
    for index in ALL {
        for (id, status) in index.requirements {
            match status {
                Status::Tested(names) => {
                    assert!(!names.is_empty(), "{id} names no test");
                    for name in *names {
                        let function = format!("fn {name}(");
                        assert!(index.source.contains(&function), "{id}: no test {name}");
                    }
                }
                Status::NotDone(reason) => assert!(reason.len() > 20, "{id}: no reason"),
            }
        }
    }
}
