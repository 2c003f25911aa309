//! Copies bytes and hashes them on the way, the hashing on a thread of its own.

use std::io;
use std::sync::mpsc;

use ring::digest::{Context, SHA256, digest};

/// Bytes that are read and written at once.
const CHUNK: usize = 1 << 20;
/// The number of chunks in memory.
const CHUNKS: usize = 4;

pub(super) type Sha256 = [u8; 32];

pub(super) fn sha256(bytes: &[u8]) -> Sha256 {
    of(&digest(&SHA256, bytes))
}

pub(super) fn of(digest: &ring::digest::Digest) -> Sha256 {
    let mut hash = Sha256::default();
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

/// Reads `len` bytes, by what reads so many from a place on, and gives them on in order. Returns their hash.
pub(super) fn pump(
    read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
    len: u64,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Sha256> {
    let size = |left: u64| usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
    if len <= CHUNK as u64 {
        let mut bytes = vec![0; size(len)];
        read(&mut bytes, 0)?;
        write(&bytes)?;
        return Ok(sha256(&bytes));
    }
    let (full, to_hash) = mpsc::sync_channel::<Vec<u8>>(CHUNKS);
    let (done_with, free) = mpsc::sync_channel::<Vec<u8>>(CHUNKS);
    let gone = |_| io::Error::other("the thread that hashes has ended");
    for _ in 0..CHUNKS {
        done_with.send(vec![0; CHUNK]).map_err(io::Error::other)?;
    }
    std::thread::scope(|scope| {
        let hasher = std::thread::Builder::new().spawn_scoped(scope, move || {
            let mut context = Context::new(&SHA256);
            for bytes in to_hash {
                context.update(&bytes);
                // At the end nobody takes it.
                drop(done_with.send(bytes));
            }
            of(&context.finish())
        })?;
        let mut done = 0;
        while done < len {
            let mut bytes = free.recv().map_err(io::Error::other)?;
            bytes.truncate(size(len - done));
            read(&mut bytes, done)?;
            write(&bytes)?;
            done += bytes.len() as u64;
            full.send(bytes).map_err(io::Error::other)?;
        }
        drop(full);
        hasher.join().map_err(gone)
    })
}
