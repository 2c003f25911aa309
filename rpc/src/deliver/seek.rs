//! From which block to which a stream goes, by Fabric's rules.

use quire_wire::deliver::{Position, SeekInfo, SeekPosition, seek_behavior, seek_content, status};

/// Why a seek is refused: a [`status`].
pub(super) type Refused = i32;

/// The blocks of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first block that can be read.
    pub(super) base: u64,
    /// How many blocks there are; never below `base`.
    pub(super) height: u64,
}

/// Where a stream is, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seek {
    /// The next block; none behind the last one.
    pub(super) next: Option<u64>,
    /// The last block. A stream whose last block lies behind it goes on for ever, as in Fabric: where the start does
    /// not exist yet and the stop is the newest block, or where the stop is no place that Fabric knows.
    pub(super) stop: u64,
    /// Whether it ends at a block that does not exist yet.
    pub(super) fails_if_not_ready: bool,
    /// Whether only headers and signatures are sent.
    pub(super) headers_only: bool,
}

impl Seek {
    /// What a request asks for.
    pub(super) fn new(info: &SeekInfo, extent: Extent) -> Result<Self, Refused> {
        let (Some(start), Some(stop)) = (info.start, info.stop) else {
            return Err(status::BAD_REQUEST);
        };
        let next = first(start, extent)?;
        Ok(Self {
            next: Some(next),
            stop: last(stop, start, next, extent)?,
            fails_if_not_ready: info.behavior == seek_behavior::FAIL_IF_NOT_READY,
            headers_only: info.content_type == seek_content::HEADER_WITH_SIG,
        })
    }

    /// Moves on behind the block that was sent.
    pub(super) fn sent(&mut self) {
        let next = self.next.filter(|sent| *sent != self.stop);
        self.next = next.and_then(|sent| sent.checked_add(1));
    }
}

fn first(start: SeekPosition, extent: Extent) -> Result<u64, Refused> {
    let Extent { base, height } = extent;
    let number = match start.position {
        Some(Position::Oldest(_)) => 0,
        // A chain that was joined behind its beginning may have no block yet.
        Some(Position::Newest(_)) => height.saturating_sub(1).max(base),
        Some(Position::Specified(specified)) => specified.number,
        Some(Position::NextCommit(_)) => height,
        None => return Err(status::NOT_FOUND),
    };
    if number < base || number > height {
        return Err(status::NOT_FOUND);
    }
    Ok(number)
}

fn last(
    stop: SeekPosition,
    start: SeekPosition,
    first: u64,
    extent: Extent,
) -> Result<u64, Refused> {
    match stop.position {
        Some(Position::Oldest(_)) => Ok(first),
        // Whoever wants the newest block alone gets one block, even if another one comes now.
        Some(Position::Newest(_)) if start == stop => Ok(first),
        Some(Position::Newest(_)) => Ok(extent.height.saturating_sub(1)),
        Some(Position::Specified(specified)) if specified.number < first => {
            Err(status::BAD_REQUEST)
        }
        Some(Position::Specified(specified)) => Ok(specified.number),
        Some(Position::NextCommit(_)) | None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use quire_wire::deliver::{Nothing, SeekSpecified};

    use super::*;

    const NEWEST: Position = Position::Newest(Nothing {});
    const OLDEST: Position = Position::Oldest(Nothing {});
    const NEXT: Position = Position::NextCommit(Nothing {});

    fn at(number: u64) -> Position {
        Position::Specified(SeekSpecified { number })
    }

    fn seek(start: Position, stop: Position, base: u64, height: u64) -> Result<(u64, u64), i32> {
        let place = |position| {
            Some(SeekPosition {
                position: Some(position),
            })
        };
        let info = SeekInfo {
            start: place(start),
            stop: place(stop),
            ..SeekInfo::default()
        };
        let seek = Seek::new(&info, Extent { base, height })?;
        Ok((seek.next.unwrap(), seek.stop))
    }

    #[test]
    fn places_are_those_of_fabric() {
        let cases = [
            (NEWEST, NEWEST, Ok((9, 9))),
            (OLDEST, OLDEST, Ok((0, 0))),
            (OLDEST, NEWEST, Ok((0, 9))),
            (at(3), OLDEST, Ok((3, 3))),
            (at(3), NEWEST, Ok((3, 9))),
            (at(3), at(u64::MAX), Ok((3, u64::MAX))),
            (at(5), at(4), Err(400)),
            // The next block may be waited for, and none behind it.
            (at(10), at(10), Ok((10, 10))),
            (at(11), at(20), Err(404)),
            (at(u64::MAX), at(u64::MAX), Err(404)),
            (NEXT, at(u64::MAX), Ok((10, u64::MAX))),
            (NEXT, NEWEST, Ok((10, 9))),
            (NEXT, at(9), Err(400)),
            (at(3), NEXT, Ok((3, 0))),
            (OLDEST, NEXT, Ok((0, 0))),
        ];
        for (start, stop, expected) in cases {
            assert_eq!(seek(start, stop, 0, 10), expected, "{start:?} {stop:?}");
        }
    }

    #[test]
    fn blocks_below_a_chains_base_are_not_found() {
        let cases = [
            (OLDEST, NEWEST, Err(404)),
            (at(6), NEWEST, Err(404)),
            (at(7), NEWEST, Ok((7, 9))),
            (NEWEST, NEWEST, Ok((9, 9))),
        ];
        for (start, stop, expected) in cases {
            assert_eq!(seek(start, stop, 7, 10), expected, "{start:?} {stop:?}");
        }
        // Joined a moment ago, without a block: the newest one is the first that comes.
        assert_eq!(seek(NEWEST, NEWEST, 7, 7), Ok((7, 7)));
        assert_eq!(seek(OLDEST, at(9), 7, 7), Err(404));
    }

    #[test]
    fn a_seek_without_one_of_its_ends_is_refused() {
        let somewhere = Some(SeekPosition {
            position: Some(NEWEST),
        });
        let nowhere = Some(SeekPosition::default());
        let extent = Extent {
            base: 0,
            height: 10,
        };
        let seek = |start, stop| {
            let info = SeekInfo {
                start,
                stop,
                ..SeekInfo::default()
            };
            Seek::new(&info, extent).map(|seek| (seek.next.unwrap(), seek.stop))
        };
        assert_eq!(seek(None, somewhere), Err(400));
        assert_eq!(seek(somewhere, None), Err(400));
        assert_eq!(seek(nowhere, somewhere), Err(404));
        // Fabric takes block 0 for the end, and goes on for ever behind it.
        assert_eq!(seek(somewhere, nowhere), Ok((9, 0)));
    }

    #[test]
    fn a_stream_ends_behind_its_last_block_and_no_number_overflows() {
        let mut seek = Seek {
            next: Some(3),
            stop: 4,
            fails_if_not_ready: false,
            headers_only: false,
        };
        seek.sent();
        assert_eq!(seek.next, Some(4));
        seek.sent();
        assert_eq!(seek.next, None);
        seek.next = Some(u64::MAX);
        seek.sent();
        assert_eq!(seek.next, None);
    }
}
