//! Pages of a listing, which are made while their readers take them.
//!
//! ```text
//! {"MEMBER":[ROW, ROW, ...],"bookmark":"..." or null}
//! ```
//!
//! The first piece is made before the answer begins: an error of a page is usually an error of its first row,
//! and a page of one piece is an ordinary answer. Each further piece is made when the connection has taken
//! the piece before it. A row that cannot be read ends the page before it: the next page begins with that
//! row, and is answered with its problem.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::unfold;

use crate::gateway::Gateway;
use crate::memory::{Held, Kind, Share};
use crate::problem::Problem;

/// A piece ends after this number of bytes.
pub(crate) const PIECE_BYTES: usize = 64 << 10;
/// What a page holds for its reader: one piece is under way while another is made.
const PAGE_BYTES: usize = 2 * PIECE_BYTES;

/// The rows of a page, in order.
pub(crate) trait Page: Send + 'static {
    /// The name of the list.
    const MEMBER: &'static str;

    /// Writes the next row as JSON. Returns whether there was one. Blocks.
    ///
    /// # Errors
    /// The row cannot be read.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Problem>;

    /// Ends the page after the last row that was written.
    fn cut(&mut self);

    /// The bookmark of the page after this one, which has ended; `None` if there is no such page.
    fn bookmark(&self) -> Option<String>;
}

/// A page that is being written.
struct Writing<P> {
    page: P,
    has_rows: bool,
    has_ended: bool,
}

impl<P: Page> Writing<P> {
    /// The next piece.
    fn piece(&mut self) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::new();
        if !self.has_rows {
            out.extend_from_slice(format!("{{\"{}\":[", P::MEMBER).as_bytes());
        }
        while out.len() < PIECE_BYTES {
            let before = out.len();
            if self.has_rows {
                out.push(b',');
            }
            let wrote = match self.page.next(&mut out) {
                Err(problem) if self.has_rows => {
                    tracing::debug!(?problem, "a page ends before a row that cannot be read");
                    self.page.cut();
                    false
                }
                wrote => wrote?,
            };
            if !wrote {
                out.truncate(before);
                self.end(&mut out)?;
                break;
            }
            self.has_rows = true;
        }
        Ok(out)
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        self.has_ended = true;
        out.extend_from_slice(b"],\"bookmark\":");
        serde_json::to_writer(&mut *out, &self.page.bookmark()).map_err(Problem::internal)?;
        out.push(b'}');
        Ok(())
    }
}

/// The body of a page.
pub(crate) async fn body(gateway: &Arc<Gateway>, page: impl Page) -> Result<Body, Problem> {
    let writing = Writing {
        page,
        has_rows: false,
        has_ended: false,
    };
    let (piece, writing) = next_piece(gateway, writing).await?;
    if writing.has_ended {
        return Ok(Body::from(piece));
    }
    let share = gateway.memory.take(Kind::Answers, PAGE_BYTES);
    let share = Arc::new(share.map_err(|full| gateway.full(full))?);
    let first = held(gateway, piece, &share)?;
    let taken = Taken {
        gateway: Arc::clone(gateway),
        share,
        first: Some(first),
        writing: Some(writing),
    };
    Ok(Body::from_stream(unfold(taken, Taken::next)))
}

/// A page that its reader is taking.
struct Taken<P> {
    gateway: Arc<Gateway>,
    share: Arc<Share>,
    /// The piece that was made before the answer.
    first: Option<Bytes>,
    /// `None` once nothing follows.
    writing: Option<Writing<P>>,
}

impl<P: Page> Taken<P> {
    async fn next(mut self) -> Option<(Result<Bytes, io::Error>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        let writing = self.writing.take()?;
        let made = next_piece(&self.gateway, writing).await;
        let made = made.and_then(|(piece, writing)| {
            let piece = held(&self.gateway, piece, &self.share)?;
            Ok((piece, writing))
        });
        match made {
            Ok((piece, writing)) => {
                self.writing = Some(writing).filter(|writing| !writing.has_ended);
                Some((Ok(piece), self))
            }
            // The connection is broken off: what was sent is not a whole page, and must not look like one.
            Err(problem) => {
                tracing::warn!(?problem, "an answer breaks off");
                Some((Err(io::Error::other("the page cannot be made")), self))
            }
        }
    }
}

async fn next_piece<P: Page>(
    gateway: &Gateway,
    mut writing: Writing<P>,
) -> Result<(Vec<u8>, Writing<P>), Problem> {
    let made = gateway.pools.work(move || {
        let piece = writing.piece()?;
        Ok((piece, writing))
    });
    made.await
}

/// A piece that keeps its page's share, and a second share for its further bytes: a row may be large.
fn held(gateway: &Gateway, mut piece: Vec<u8>, share: &Arc<Share>) -> Result<Bytes, Problem> {
    // A buffer can be twice as large as its content.
    if piece.capacity() > PAGE_BYTES {
        piece.shrink_to_fit();
    }
    let more = piece.len().saturating_sub(PAGE_BYTES);
    let more = gateway.memory.take(Kind::Answers, more);
    let more = more.map_err(|full| gateway.full(full))?;
    Ok(Bytes::from_owner(Held {
        bytes: piece,
        _share: (Arc::clone(share), more),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of numbers up to a limit; one of them may be damaged.
    struct Numbers {
        next: usize,
        limit: usize,
        damaged: Option<usize>,
        is_cut: bool,
    }

    impl Page for Numbers {
        const MEMBER: &'static str = "numbers";

        fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Problem> {
            if self.next == self.limit {
                return Ok(false);
            }
            if self.damaged == Some(self.next) {
                out.extend_from_slice(b"half a row");
                return Err(Problem::internal("damaged"));
            }
            out.extend_from_slice(self.next.to_string().as_bytes());
            self.next += 1;
            Ok(true)
        }

        fn cut(&mut self) {
            self.is_cut = true;
        }

        fn bookmark(&self) -> Option<String> {
            self.is_cut.then(|| self.next.to_string())
        }
    }

    fn written(limit: usize, damaged: Option<usize>) -> Result<(String, usize), Problem> {
        let mut writing = Writing {
            page: Numbers {
                next: 0,
                limit,
                damaged,
                is_cut: false,
            },
            has_rows: false,
            has_ended: false,
        };
        let mut all = Vec::new();
        let mut pieces = 0;
        while !writing.has_ended {
            let piece = writing.piece()?;
            assert!(piece.len() < PIECE_BYTES + 100);
            all.extend(piece);
            pieces += 1;
        }
        Ok((String::from_utf8(all).unwrap(), pieces))
    }

    #[test]
    fn pieces_make_one_document_whatever_their_number() {
        let (text, pieces) = written(0, None).unwrap();
        assert_eq!(
            (text.as_str(), pieces),
            (r#"{"numbers":[],"bookmark":null}"#, 1)
        );
        let (text, _) = written(2, None).unwrap();
        assert_eq!(text, r#"{"numbers":[0,1],"bookmark":null}"#);
        let (text, pieces) = written(50_000, None).unwrap();
        assert!(pieces > 3);
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let numbers = document["numbers"].as_array().unwrap();
        assert!(
            numbers
                .iter()
                .zip(0_u64..)
                .all(|(one, other)| *one == other)
        );
        assert_eq!(numbers.len(), 50_000);
    }

    #[test]
    fn a_row_that_cannot_be_read_ends_the_page_before_it() {
        assert!(written(5, Some(0)).is_err());
        let (text, _) = written(5, Some(2)).unwrap();
        assert_eq!(text, r#"{"numbers":[0,1],"bookmark":"2"}"#);
        let (text, _) = written(50_000, Some(30_000)).unwrap();
        assert!(text.ends_with(r#",29999],"bookmark":"30000"}"#));
    }
}
