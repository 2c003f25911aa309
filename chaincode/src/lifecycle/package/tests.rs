use std::io::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use quire_testkit::conformance;

use super::*;

fn connection() -> Connection {
    Connection::read(br#"{"address": "orders:9999"}"#).unwrap()
}

#[test]
fn packages_are_what_fabric_takes_for_them() {
    let cases = conformance::read_lines("rules/privdata/packages.jsonl");
    assert!(cases.len() > 35);
    for case in cases {
        let error = case["error"].as_str();
        if let Some(label) = case["label_text"].as_str() {
            assert_eq!(
                check_label(label).err().map(|e| e.to_string()).as_deref(),
                error
            );
            continue;
        }
        let source = BASE64_STANDARD
            .decode(case["package_b64"].as_str().unwrap())
            .unwrap();
        let found = match Package::read(&source) {
            Ok(found) => found,
            Err(found) => {
                let error = error.unwrap_or_else(|| panic!("{case} {found}"));
                // What is wrong with the bytes themselves every library says in its own words.
                let rule = error.split(": ").next().unwrap();
                assert!(found.to_string().starts_with(rule), "{error} {found}");
                continue;
            }
        };
        assert_eq!(error, None, "{case}");
        let text = |name: &str| case[name].as_str().unwrap();
        let Metadata { path, kind, label } = &found.metadata;
        assert_eq!(
            [&**path, kind, label],
            [text("path"), text("type"), text("label")]
        );
        assert_eq!(package_id(label, &source), text("package_id"));
        if let Some(code) = case["code_hex"].as_str() {
            assert_eq!(hex::encode(&found.code), code);
        }
    }
}

#[test]
fn the_package_of_a_service_says_where_it_answers() {
    let package = Package::of_service("orders_1", &connection()).unwrap();
    let bytes = package.write().unwrap();
    assert_eq!(bytes, package.write().unwrap());
    let read = Package::read(&bytes).unwrap();
    assert_eq!(read, package);
    assert_eq!(read.connection().unwrap(), Some(connection()));
    assert_eq!(read.metadata.kind, "ccaas");
    assert!(Package::of_service("no label", &connection()).is_err());
    let long = "a".repeat(MAX_LABEL_BYTES + 1);
    let error = Package::of_service(&long, &connection()).unwrap_err();
    assert!(matches!(error, PackageError::LongLabel(161)));
}

/// A package with this code.
fn of_code(code: Vec<u8>) -> Package {
    let code = code.into();
    Package {
        code,
        ..Package::of_service("a", &connection()).unwrap()
    }
}

#[test]
fn code_without_a_connection_has_none_and_code_that_is_no_archive_an_error() {
    let other = archive::pack(&[("main.go", b"package main")]).unwrap();
    assert_eq!(of_code(other).connection().unwrap(), None);
    let in_a_folder = archive::pack(&[("a/connection.json", b"{}")]).unwrap();
    assert_eq!(of_code(in_a_folder).connection().unwrap(), None);
    assert!(of_code(b"plain".to_vec()).connection().is_err());
    let empty = archive::pack(&[(CONNECTION, b"{}")]).unwrap();
    assert!(of_code(empty).connection().is_err());
}

/// A gzip of a header of this kind and size, and of that many zeros after it.
fn bomb(kind: u8, size: u64, zeros: usize) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(METADATA).unwrap();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(header.as_bytes()).unwrap();
    let block = vec![0; 1 << 20];
    for _ in 0..zeros >> 20 {
        gzip.write_all(&block).unwrap();
    }
    gzip.finish().unwrap()
}

#[test]
fn a_package_that_unpacks_to_more_than_is_allowed_is_refused() {
    let huge = 1 << 40;
    // As metadata, as the name of the next entry, and as a file that nobody asked for.
    let refused = Package::read(&bomb(b'0', huge, 300 << 20)).unwrap_err();
    assert!(
        matches!(refused, PackageError::TooLarge { name: METADATA, .. }),
        "{refused}"
    );
    for kind in [b'L', b'x'] {
        let refused = Package::read(&bomb(kind, huge, 300 << 20)).unwrap_err();
        assert!(refused.to_string().contains("too long"), "{refused}");
    }
    let mut other = tar::Header::new_ustar();
    other.set_path("other").unwrap();
    other.set_size(huge);
    other.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(other.as_bytes()).unwrap();
    let block = vec![0; 1 << 20];
    for _ in 0..300 {
        gzip.write_all(&block).unwrap();
    }
    let refused = Package::read(&gzip.finish().unwrap()).unwrap_err();
    assert!(
        matches!(refused, PackageError::Archive(ArchiveError::TooLarge)),
        "{refused}"
    );
}

#[test]
fn an_archive_of_countless_entries_is_refused() {
    let files: Vec<(&str, &[u8])> = vec![("f", b""); archive::MAX_ENTRIES + 1];
    let refused = Package::read(&archive::pack(&files).unwrap()).unwrap_err();
    assert!(
        matches!(refused, PackageError::Archive(ArchiveError::TooManyEntries)),
        "{refused}"
    );
}

#[test]
fn a_name_longer_than_a_header_is_read_in_both_forms() {
    let name = format!("{}/connection.json", "d".repeat(150));
    let mut gnu = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    gnu.append_data(&mut header, &name, &b"{}"[..]).unwrap();
    let gnu = gnu.into_inner().unwrap().finish().unwrap();
    let mut pax = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    pax.append_pax_extensions([("path", name.as_bytes())])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    pax.append_data(&mut header, CONNECTION, &b"{}"[..])
        .unwrap();
    let pax = pax.into_inner().unwrap().finish().unwrap();
    for archive in [gnu, pax] {
        let mut names = Vec::new();
        archive::visit(&archive, |entry| {
            names.push(entry.name.clone());
            Ok::<_, ArchiveError>(false)
        })
        .unwrap();
        assert_eq!(names, [&*name]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_package_or_an_error(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        drop(Package::read(&bytes));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&bytes).unwrap();
        drop(Package::read(&gzip.finish().unwrap()));
        // And almost good ones.
        let mut good = Package::of_service("a", &connection()).unwrap().write().unwrap();
        let place = at.index(good.len());
        good[place] = byte;
        drop(Package::read(&good).map(|package| package.connection().is_ok()));
        let mut tar = tar_of(&[(METADATA, br#"{"label":"a"}"#), (CODE, b"c")]);
        let place = at.index(tar.len());
        tar[place] = byte;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar).unwrap();
        drop(Package::read(&gzip.finish().unwrap()));
    }
}

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    let packed = archive::pack(files).unwrap();
    let mut gzip = flate2::read::GzDecoder::new(&*packed);
    io::Read::read_to_end(&mut gzip, &mut unpacked).unwrap();
    unpacked
}
