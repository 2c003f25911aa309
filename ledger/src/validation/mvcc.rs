//! Does a transaction still see what it saw? These are Fabric's rules, in Fabric's order: for each namespace
//! its key reads, then its ranges, then its reads of private keys; the first that fails decides. The queries
//! of a namespace, which Fabric does not have, come directly after the namespace.

use quire_wire::Code;
use quire_wire::rwset::Version;

use super::recent::Recent;
use super::{phantom, rich};
use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::examined::ReadWriteSet;
use crate::model::namespace::queried;
use crate::model::namespace::{hashed_key, hashed_namespace};
use crate::model::updates::Update;
use crate::query::work::Meter;
use crate::validation::pending::Pending;

/// `VALID`, or the conflict that makes a transaction invalid.
pub(crate) fn judge(
    set: &ReadWriteSet,
    pending: &Pending<'_>,
    recent: &mut Recent,
) -> Result<Code, ReadError> {
    let mut meter = recent.meter();
    let code = judge_metered(set, pending, recent, &mut meter);
    recent.spend(&meter);
    code
}

fn judge_metered(
    set: &ReadWriteSet,
    pending: &Pending<'_>,
    recent: &mut Recent,
    meter: &mut Meter,
) -> Result<Code, ReadError> {
    for namespace in &set.namespaces {
        let name = &namespace.namespace;
        if let Some(queried) = queried(name) {
            let queries = &namespace.public.range_queries_info;
            match rich::judge(queried, queries, pending, recent, meter)? {
                Code::VALID => continue,
                conflict => return Ok(conflict),
            }
        }
        for read in &namespace.public.reads {
            let in_block = pending.block.public(name, &read.key);
            let earlier = pending.public_before_block(name, &read.key);
            let committed = || pending.state.version(name, &read.key);
            if !still_holds(read.version, in_block, earlier, committed)? {
                return Ok(Code::MVCC_READ_CONFLICT);
            }
        }
        for range in &namespace.public.range_queries_info {
            if !phantom::still_holds(name, range, pending)? {
                return Ok(Code::PHANTOM_READ_CONFLICT);
            }
        }
        for (collection, hashed) in &namespace.collections {
            for read in &hashed.hashed_reads {
                let in_block = pending.block.hashed(name, collection, &read.key_hash);
                let earlier = pending.hashed_before_block(name, collection, &read.key_hash);
                let committed = || {
                    let namespace = hashed_namespace(name, collection);
                    pending
                        .state
                        .version(&namespace, &hashed_key(&read.key_hash))
                };
                if !still_holds(read.version, in_block, earlier, committed)? {
                    return Ok(Code::MVCC_READ_CONFLICT);
                }
            }
        }
    }
    Ok(Code::VALID)
}

/// A read is still right if nothing earlier in the block touched the key, and the committed version is the
/// one that was read; a missing key matches only a missing key.
fn still_holds(
    read: Option<Version>,
    in_block: Option<&Update>,
    earlier: Option<&Update>,
    committed: impl FnOnce() -> Result<Option<Height>, ReadError>,
) -> Result<bool, ReadError> {
    if in_block.is_some() {
        return Ok(false);
    }
    let current = match earlier {
        Some(update) => update.content.is_some().then_some(update.version),
        None => committed()?,
    };
    Ok(current == read.map(Height::from))
}
