//! The query indexes that a chaincode's package brings along, made in a channel.

use std::fmt::Debug;
use std::time::Duration;

use quire_chaincode::lifecycle::IndexFile;
use quire_ledger::{IndexRequest, Reader};

/// Makes the indexes that a package brings along, in one channel.
pub trait MakeIndexes: Debug + Send + Sync {
    /// Makes the indexes that are not there yet, and begins to build them; one of the same name and another definition is
    /// replaced. Definitions are durable on return. What cannot be made is told by the log, and the others are made, as
    /// Fabric's peers do. Writes files: not for a thread that may not wait.
    fn make(&self, files: &[IndexFile]);
}

/// Makes them in a ledger, for the namespace of the chaincode that the package is of.
#[derive(Debug)]
pub(crate) struct PackageIndexes {
    pub(crate) reader: Reader,
    /// The chaincode's name, which its namespace has too.
    pub(crate) namespace: String,
}

impl MakeIndexes for PackageIndexes {
    fn make(&self, files: &[IndexFile]) {
        let channel = self.reader.channel();
        let (chaincode, reader) = (&self.namespace, &self.reader);
        for IndexFile { name, content } in files {
            let request = IndexRequest::parse(content).map_err(|error| error.to_string());
            let made = request.and_then(|request| {
                let made = reader.create_index(chaincode, &request, Duration::ZERO);
                made.map_err(|error| quire_ledger::chain_of(&error))
            });
            match made {
                Ok(true) => {
                    tracing::info!(
                        channel,
                        chaincode,
                        file = name,
                        "an index of the package is made"
                    );
                }
                Ok(false) => (),
                Err(reason) => {
                    let file = name;
                    tracing::error!(
                        channel,
                        chaincode,
                        file,
                        reason,
                        "an index of the package is not made"
                    );
                }
            }
        }
    }
}
