//! Packages: made of folders, named, installed, and brought back.

use std::path::{Component, Path, PathBuf};

use quire_chaincode::lifecycle::{Metadata, Package, pack_code, package_id};
use quire_wire::lifecycle::{
    GetInstalledChaincodePackageArgs, GetInstalledChaincodePackageResult, InstallChaincodeArgs,
    InstallChaincodeResult,
};
use serde_json::json;

use super::go_json::indented;
use super::question::Question;
use crate::files;
use crate::peer::error::PeerError;
use crate::peer::prototext;
use crate::peer::report::{LIFECYCLE, Report};

/// Packs the chaincode in a folder into a file.
pub(super) fn package(file: &Path, label: &str, lang: &str, path: &Path) -> Result<(), PeerError> {
    let package = Package {
        metadata: Metadata {
            path: source_path(lang, path),
            kind: lang.to_owned(),
            label: label.to_owned(),
        },
        code: pack_code(path)?.into(),
    };
    Ok(files::write(file, &package.write()?, 0o600)?)
}

/// What a package says of where its code stood: of Go's it is the name of the module, so that it means the same
/// elsewhere.
fn source_path(lang: &str, path: &Path) -> String {
    let module = || {
        let text = files::read(&path.join("go.mod")).ok()?;
        let text = String::from_utf8(text).ok()?;
        let mut lines = text.lines().map(str::trim);
        let name = lines.find_map(|line| line.strip_prefix("module "))?;
        Some(name.trim().trim_matches('"').to_owned())
    };
    let is_go = lang.eq_ignore_ascii_case("golang");
    let module = is_go.then(module).flatten();
    module.unwrap_or_else(|| path.to_string_lossy().into_owned())
}

/// Prints the id of a package in a file.
pub(super) fn print_id(
    file: &Path,
    is_json: bool,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let bytes = files::read(file)?;
    let id = package_id(&Package::read(&bytes)?.metadata.label, &bytes);
    if is_json {
        let text = indented(&json!({"package_id": id}))?;
        return report.print(format_args!("{text}\n"));
    }
    report.print(format_args!("{id}\n"))
}

/// Has a peer keep the package in a file.
pub(super) async fn install(
    file: &Path,
    question: Question<'_>,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let args = InstallChaincodeArgs {
        chaincode_install_package: files::read(file)?.into(),
    };
    let failed = "chaincode install failed";
    let asked = question.ask::<InstallChaincodeResult>("", "InstallChaincode", &args, failed);
    let (response, result) = asked.await?;
    let text = prototext::response(&response);
    let line = format!("Installed remotely: response:{{{text}}}");
    report.log(LIFECYCLE, "submitInstallProposal", &line);
    let line = format!("Chaincode code package identifier: {}", result.package_id);
    report.log(LIFECYCLE, "submitInstallProposal", &line);
    Ok(())
}

/// Writes a package that a peer keeps to a file named after its id.
pub(super) async fn fetch(
    package_id: &str,
    folder: &Path,
    question: Question<'_>,
) -> Result<(), PeerError> {
    let file = file_name(package_id)?;
    let args = GetInstalledChaincodePackageArgs {
        package_id: package_id.to_owned(),
    };
    let function = "GetInstalledChaincodePackage";
    let failed = "proposal failed";
    let asked = question.ask::<GetInstalledChaincodePackageResult>("", function, &args, failed);
    let (_, result) = asked.await?;
    let bytes = result.chaincode_install_package;
    Ok(files::write(&folder.join(file), &bytes, 0o600)?)
}

/// An id that is the name of a file, and leads nowhere else.
fn file_name(package_id: &str) -> Result<PathBuf, PeerError> {
    let file = PathBuf::from(format!("{package_id}.tar.gz"));
    let mut parts = file.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(file),
        _ => Err(PeerError::Usage(format!(
            "{package_id:?} is no id of a package"
        ))),
    }
}
