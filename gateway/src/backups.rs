//! The backups of a node, as the gateway asks the node for them.

use serde::Serialize;
use utoipa::ToSchema;

/// The backups that a node makes by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backups {
    /// Those that are whole, the oldest first. Each is named by its moment.
    pub backups: Vec<String>,
    /// How old the newest may become before the next is made; null if none is made unasked.
    pub every_seconds: Option<u64>,
    /// How many are kept.
    pub keep: usize,
    /// How far the one is that is being made; null if none is.
    pub under_way: Option<BackupUnderWay>,
    /// Why the last attempt failed; null if it did not.
    pub failure: Option<String>,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupUnderWay {
    /// Bytes that are there.
    pub done_bytes: u64,
    /// Bytes in all, as far as they are known.
    pub total_bytes: u64,
}
