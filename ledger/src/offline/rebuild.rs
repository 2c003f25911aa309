//! Makes followers again from the blocks.

use std::sync::Arc;

use crate::block_store::scan::{Scan, Step};
use crate::block_store::segment::Segments;
use crate::block_store::tail::{self, Verdict, Witness};
use crate::derived;
use crate::error::OpenError;
use crate::followers::Follower;
use crate::id_store::io_at;
use crate::ledger::Ledger;
use crate::ledgers::Ledgers;
use crate::progress::{Progress, ProgressFn};
use crate::recovery::OpenReport;
use crate::state::engines::STATE;

impl Ledgers {
    /// Drops followers of a channel, which must not be open, and makes them again from its blocks.
    /// Every block is read first: nothing is dropped that could not be made again.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] and [`OpenError::Ahead`] changed nothing and need an operator.
    pub fn rebuild(
        &self,
        channel: &str,
        followers: &[Follower],
        progress: &mut ProgressFn<'_>,
    ) -> Result<(Ledger, OpenReport), OpenError> {
        self.refuse_if_lossy(channel, progress)?;
        for follower in followers {
            if *follower == STATE {
                self.drop_remote_state(channel)?;
            }
            derived::drop_follower(self.database(), channel, *follower)?;
        }
        self.ledger(channel, progress)
    }

    /// Checks that the blocks are all that the followers know. It reads every block.
    fn refuse_if_lossy(
        &self,
        channel: &str,
        progress: &mut ProgressFn<'_>,
    ) -> Result<(), OpenError> {
        let extent = self.existing(channel)?.extent();
        let dir = self.channel_dir(channel);
        let segments = Segments::new(Arc::clone(self.disk()), dir.clone());
        let name = || channel.to_owned();
        let count = segments.count().map_err(io_at(&dir))?;
        let count = match count {
            Ok(count) => count,
            Err(corruption) => {
                let known = self.furthest_ahead_of(channel, 0);
                let last = known.map_or(extent.first(), |witness| witness.height - 1);
                return Err(OpenError::Corrupt {
                    channel: name(),
                    blocks: extent.first()..=last,
                    corruption: Box::new(corruption),
                });
            }
        };
        let mut scan = Scan::whole(&segments, count, &extent);
        let damage = loop {
            match scan.next().map_err(io_at(&dir))? {
                Step::Block(stored) => progress(Progress {
                    stage: "reading block files",
                    subject: channel,
                    done: stored.location.segment,
                    total: count,
                }),
                Step::End => break None,
                Step::Damaged(damage) => break Some(damage),
            }
        };
        let witness = self.furthest_ahead_of(channel, scan.number());
        if let Some(damage) = damage {
            let verdict = tail::judge(&segments, count, extent.own_from, &damage, witness);
            return match verdict.map_err(io_at(&dir))? {
                // Opening the channel cuts it.
                Verdict::Torn { .. } => Ok(()),
                Verdict::Corrupt {
                    corruption,
                    last_block,
                } => Err(OpenError::Corrupt {
                    channel: name(),
                    blocks: damage.number..=last_block,
                    corruption: Box::new(corruption),
                }),
            };
        }
        match witness {
            None => Ok(()),
            Some(Witness { follower, height }) => Err(OpenError::Ahead {
                channel: name(),
                follower,
                savepoint: height,
                height: scan.number(),
            }),
        }
    }
}
