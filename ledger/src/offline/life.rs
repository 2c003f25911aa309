//! Pauses, resumes and removes channels that are not open. After a crash a channel is as before or as after; one
//! whose removal was begun is removed by the next opening of the data directory.

use crate::error::OpenError;
use crate::id_store::{Status, io_at};
use crate::ledgers::Ledgers;

impl Ledgers {
    /// Sets a channel aside: no start opens it. Returns whether it was in use before. This is durable on return.
    ///
    /// # Errors
    /// There is no such channel, or its record cannot be read or written.
    pub fn pause(&self, channel: &str) -> Result<bool, OpenError> {
        self.turn(channel, Status::Active, Status::Inactive)
    }

    /// Takes a channel into use again. Returns whether it was set aside before. This is durable on return.
    ///
    /// # Errors
    /// There is no such channel, or its record cannot be read or written.
    pub fn resume(&self, channel: &str) -> Result<bool, OpenError> {
        self.turn(channel, Status::Inactive, Status::Active)
    }

    fn turn(&self, channel: &str, from: Status, to: Status) -> Result<bool, OpenError> {
        let mut record = self.existing(channel)?;
        if record.status != from {
            return Ok(false);
        }
        record.status = to;
        self.id_store().put(&record)?;
        Ok(true)
    }

    /// Removes a channel with its blocks, private values and query indexes, for good, and its state wherever that
    /// is. Returns how many bytes its files had. This is durable on return.
    ///
    /// # Errors
    /// There is no such channel, or the disk or the state database failed; then nothing was removed, or the next
    /// opening of the data directory removes the rest.
    pub fn remove_for_good(&self, channel: &str) -> Result<u64, OpenError> {
        let mut record = self.existing(channel)?;
        let bytes = self.bytes_of(channel)?;
        record.status = Status::UnderDeletion;
        // From here on the channel is gone, whatever is left of it.
        self.id_store().put(&record)?;
        self.remove(channel)?;
        Ok(bytes)
    }

    fn bytes_of(&self, channel: &str) -> Result<u64, OpenError> {
        let dir = self.channel_dir(channel);
        let sum = || -> std::io::Result<u64> {
            let mut bytes = 0;
            for name in self.disk().list(&dir)? {
                if name.starts_with("blockfile_") {
                    bytes += self.disk().open(&dir.join(name), false)?.len()?;
                }
            }
            Ok(bytes)
        };
        match sum() {
            // Its folder was lost: its record is what is removed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            bytes => bytes.map_err(io_at(&dir)),
        }
    }
}
