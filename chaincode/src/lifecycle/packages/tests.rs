use std::fs;

use quire_disk::OsDisk;

use super::super::connection::Connection;
use super::*;

fn package(label: &str) -> Vec<u8> {
    let connection = Connection::read(br#"{"address": "orders:9999"}"#).unwrap();
    let package = Package::of_service(label, &connection).unwrap();
    package.write().unwrap()
}

fn open(folder: &Path, max_bytes: u64) -> (PackageFiles, Vec<DamagedPackage>) {
    PackageFiles::open(Arc::new(OsDisk), folder, max_bytes).unwrap()
}

#[test]
fn a_package_is_kept_under_fabrics_name_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("packages");
    let source = package("orders_1");
    let (files, damaged) = open(&folder, MAX_PACKAGES_BYTES);
    assert!(damaged.is_empty() && files.installed().is_empty());
    let installed = files.install(&source).unwrap();
    assert_eq!(installed.package_id, format!("orders_1:{}", hash(&source)));
    let file = folder.join(format!("orders_1.{}.tar.gz", hash(&source)));
    assert_eq!(fs::read(file).unwrap(), source);
    let again = files.install(&source).unwrap_err();
    let text = format!(
        "chaincode already successfully installed (package ID '{}')",
        installed.package_id
    );
    assert_eq!(again.to_string(), text);

    let (files, damaged) = open(&folder, MAX_PACKAGES_BYTES);
    assert!(damaged.is_empty());
    assert_eq!(files.installed(), std::slice::from_ref(&installed));
    assert_eq!(files.get(&installed.package_id).unwrap().unwrap(), source);
    assert_eq!(files.get("orders_1:00").unwrap(), None);
}

#[test]
fn what_is_damaged_is_told_and_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = open(dir.path(), MAX_PACKAGES_BYTES);
    let good = files.install(&package("good")).unwrap();
    let bad = files.install(&package("bad")).unwrap();
    let file = files.file(&bad.package_id);
    let mut content = fs::read(&file).unwrap();
    content[20] ^= 1;
    fs::write(&file, &content).unwrap();
    assert!(matches!(
        files.get(&bad.package_id),
        Err(PackagesError::Damaged(_))
    ));
    // Another name, a name that lies about the label, what a crash left, and what is somebody else's.
    fs::write(dir.path().join("x.tar.gz"), "x").unwrap();
    let source = package("good");
    fs::write(
        dir.path()
            .join(file_name(&format!("liar:{}", hash(&source)))),
        &source,
    )
    .unwrap();
    fs::write(dir.path().join("README"), "").unwrap();

    let (files, damaged) = open(dir.path(), MAX_PACKAGES_BYTES);
    assert_eq!(files.installed(), [good]);
    let mut names = damaged
        .iter()
        .map(|one| one.file.file_name().unwrap())
        .collect::<Vec<_>>();
    names.sort_unstable();
    assert_eq!(names.len(), 3, "{damaged:?}");
    // And it may be installed again.
    files.install(&package("bad")).unwrap();
    assert_eq!(open(dir.path(), MAX_PACKAGES_BYTES).0.installed().len(), 2);
}

#[test]
fn a_node_keeps_no_more_bytes_of_packages_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (package("first"), package("second"));
    let limit = u64::try_from(first.len() + second.len()).unwrap() - 1;
    let (files, _) = open(dir.path(), limit);
    files.install(&first).unwrap();
    assert!(matches!(
        files.install(&second),
        Err(PackagesError::Full(_))
    ));
    let (files, _) = open(dir.path(), limit + 1);
    files.install(&second).unwrap();
}

#[test]
fn what_is_no_package_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = open(dir.path(), MAX_PACKAGES_BYTES);
    assert!(matches!(
        files.install(b"hello"),
        Err(PackagesError::Package(_))
    ));
    let package = Package::read(&package("a")).unwrap();
    let code = "plain".into();
    let plain = Package { code, ..package };
    let refused = files.install(&plain.write().unwrap()).unwrap_err();
    assert!(
        refused.to_string().contains("from code package"),
        "{refused}"
    );
    assert!(files.installed().is_empty());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
