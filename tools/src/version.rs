//! What a tool prints of its version.

/// Laid out as Fabric's tools do.
pub(crate) fn version(tool: &str) -> String {
    format!(
        "{tool}:\n Version: {}\n OS/Arch: {}/{}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
