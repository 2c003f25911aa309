//! One stream of blocks.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use quire_ledger::{ReadError, Reader, Room, chain_of};
use quire_wire::common::Envelope;
use quire_wire::deliver::{DeliverResponse, Response, status};
use quire_wire::hash::Hash;
use quire_wire::tolerant;
use tokio::sync::watch;
use tonic::Status;

use super::Deliver;
use super::content::{NoContent, content};
use super::seek::{Extent, Refused, Seek};
use super::service::Service;
use super::session::{Request, Session};
use crate::backend::Backend;
use crate::failure::{stopped, stops, unreadable};
use crate::stream_observer::{Event, StreamObserver};

/// After this number of bytes, no more blocks are read at once: going to another thread takes longer than reading a
/// small block.
const AHEAD_BYTES: usize = 256 << 10;

/// Somebody who reads blocks.
pub(super) struct Reading<R> {
    deliver: Deliver,
    service: Service,
    certificate: Option<Hash>,
    requests: R,
    stopping: watch::Receiver<bool>,
    /// The request that is being answered.
    current: Option<Range>,
    /// For the block that was handed out last, until the next one is asked for.
    room: Vec<Room>,
    has_ended: bool,
}

/// A request that was let in.
struct Range {
    asked: Asked,
    seek: Seek,
    session: Session,
    reader: Reader,
    heights: watch::Receiver<u64>,
    /// Answers that were read already, each with the room that it takes.
    ready: VecDeque<(Response, Vec<Room>)>,
}

/// Somebody asked for blocks of a channel that there is. When it is dropped, the request was answered.
struct Asked {
    channel: Arc<str>,
    service: Service,
    observer: Arc<dyn StreamObserver>,
    succeeded: bool,
}

impl Asked {
    fn new(channel: Arc<str>, service: Service, observer: Arc<dyn StreamObserver>) -> Self {
        observer.observe(&Event::SeekReceived(&channel, service));
        Self {
            channel,
            service,
            observer,
            succeeded: false,
        }
    }

    fn sent(&self) {
        let sent = Event::BlockSent(&self.channel, self.service);
        self.observer.observe(&sent);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let completed = Event::SeekCompleted(&self.channel, self.service, self.succeeded);
        self.observer.observe(&completed);
    }
}

/// The end of a stream, or of a request.
enum Halt {
    /// The request was answered with this status.
    Answered(i32),
    /// The stream fails.
    Failed(Status),
}

impl From<Refused> for Halt {
    fn from(status: Refused) -> Self {
        Self::Answered(status)
    }
}

impl From<Status> for Halt {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

impl<R> Reading<R>
where
    R: Stream<Item = Result<Bytes, Status>> + Unpin,
{
    pub(super) fn new(
        deliver: Deliver,
        service: Service,
        certificate: Option<Hash>,
        requests: R,
    ) -> Self {
        deliver.observer.observe(&Event::StreamOpened);
        Self {
            stopping: deliver.backend.stopping(),
            deliver,
            service,
            certificate,
            requests,
            current: None,
            room: Vec::new(),
            has_ended: false,
        }
    }

    /// The next answer; none where the stream has ended.
    pub(super) async fn next(&mut self) -> Option<Result<DeliverResponse, Status>> {
        self.room.clear();
        if self.has_ended {
            return None;
        }
        let response = match self.response().await? {
            Ok(response) => Ok(response.into()),
            Err(Halt::Answered(status)) => {
                self.current = None;
                self.has_ended = status != status::SUCCESS;
                Ok(Response::Status(status).into())
            }
            Err(Halt::Failed(status)) => {
                self.has_ended = true;
                Err(status)
            }
        };
        Some(response)
    }

    async fn response(&mut self) -> Option<Result<Response, Halt>> {
        let mut range = match self.current.take() {
            Some(range) => range,
            None => match self.request().await? {
                Ok(range) => range,
                Err(halt) => return Some(Err(halt)),
            },
        };
        let Some(number) = range.seek.next else {
            range.asked.succeeded = true;
            return Some(Err(Halt::Answered(status::SUCCESS)));
        };
        Some(match self.block(range, number).await {
            Ok((response, room, range)) => {
                (self.current, self.room) = (Some(range), room);
                Ok(response)
            }
            Err(halt) => Err(halt),
        })
    }

    /// The next request, let in; none if no other will come.
    async fn request(&mut self) -> Option<Result<Range, Halt>> {
        let envelope = tokio::select! {
            biased;
            () = stops(&mut self.stopping) => return Some(Err(stopped().into())),
            envelope = self.requests.next() => match envelope? {
                Ok(envelope) => envelope,
                Err(status) => return Some(Err(status.into())),
            },
        };
        let deliver = self.deliver.clone();
        let (service, certificate) = (self.service, self.certificate);
        let work = move || deliver.let_in(service, certificate.as_ref(), envelope);
        let begun = self.deliver.workers.run(work).await;
        Some(begun.unwrap_or_else(|status| Err(status.into())))
    }

    /// The next block of a request. It is waited for if the request says so.
    async fn block(
        &mut self,
        mut range: Range,
        number: u64,
    ) -> Result<(Response, Vec<Room>, Range), Halt> {
        if let Some((response, room)) = range.next_ready()? {
            return Ok((response, room, range));
        }
        if number >= *range.heights.borrow_and_update() {
            if range.seek.fails_if_not_ready {
                return Err(Halt::Answered(status::NOT_FOUND));
            }
            tokio::select! {
                biased;
                () = stops(&mut self.stopping) => return Err(stopped().into()),
                comes = range.heights.wait_for(|height| *height > number) => {
                    // No block will come any more: the channel is closed, or something broke.
                    comes.map_err(|_| status::SERVICE_UNAVAILABLE)?;
                }
            }
        }
        let (backend, service) = (Arc::clone(&self.deliver.backend), self.service);
        let work = move || {
            range.read_ahead(service, number, backend.as_ref())?;
            let (response, room) = range.next_ready()?.ok_or(status::SERVICE_UNAVAILABLE)?;
            Ok((response, room, range))
        };
        self.deliver.workers.run(work).await?
    }
}

impl<R> Drop for Reading<R> {
    fn drop(&mut self) {
        self.deliver.observer.observe(&Event::StreamClosed);
    }
}

impl Deliver {
    /// Reads a request, and finds out who makes it and what for.
    fn let_in(
        &self,
        service: Service,
        certificate: Option<&Hash>,
        envelope: Bytes,
    ) -> Result<Range, Halt> {
        let envelope: Envelope =
            tolerant::decode(envelope, tolerant::ENVELOPE).map_err(|_| unreadable())?;
        let request = Request::read(envelope, certificate, self.backend.now())?;
        let channel = self.backend.channel(&request.channel);
        let channel = channel.ok_or(status::NOT_FOUND)?;
        let name = Arc::clone(&channel.name);
        let asked = Asked::new(name, service, Arc::clone(&self.observer));
        let info = request.seek()?;
        let access = channel.access.ok_or(status::FORBIDDEN)?;
        let session = Session::begin(access, service.resource(), &request)?;
        let (reader, heights) = (channel.reader, channel.heights);
        let extent = Extent {
            base: reader.base(),
            height: *heights.borrow(),
        };
        let seek = Seek::new(&info, extent)?;
        if service == Service::Filtered && seek.headers_only {
            // A filtered block has neither header nor signatures. A peer of Fabric dies of this.
            return Err(Halt::Answered(status::BAD_REQUEST));
        }
        Ok(Range {
            asked,
            seek,
            session,
            reader,
            heights,
            ready: VecDeque::new(),
        })
    }
}

impl Range {
    /// Reads blocks from `number` on, which is there: as many as there are, up to some bytes.
    fn read_ahead(
        &mut self,
        service: Service,
        number: u64,
        backend: &dyn Backend,
    ) -> Result<(), Halt> {
        let height = *self.heights.borrow_and_update();
        let mut bytes: usize = 0;
        for number in number..height {
            let (response, room) = match self.read_held(service, number, backend) {
                Ok(read) => read,
                // It is told when it is this block's turn.
                Err(_) if !self.ready.is_empty() => break,
                Err(halt) => return Err(halt),
            };
            bytes = bytes.saturating_add(response.encoded_len());
            self.ready.push_back((response, room));
            if number == self.seek.stop || bytes >= AHEAD_BYTES {
                break;
            }
        }
        Ok(())
    }

    /// The answer with block `number`, and the room that it takes: whoever reads slowly makes the node hold it.
    fn read_held(
        &self,
        service: Service,
        number: u64,
        backend: &dyn Backend,
    ) -> Result<(Response, Vec<Room>), Halt> {
        let mut room = Vec::new();
        let mut hold = |bytes| {
            let more = backend.room(bytes);
            let is_there = more.is_some();
            room.extend(more);
            is_there
        };
        let response = self.read(service, number, &mut hold)?;
        if service == Service::Filtered && !hold(response.encoded_len()) {
            return Err(Halt::Answered(status::SERVICE_UNAVAILABLE));
        }
        Ok((response, room))
    }

    /// Block `number`.
    fn read(
        &self,
        service: Service,
        number: u64,
        hold: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Response, Halt> {
        let broken = |error: &ReadError| {
            let (channel, reason) = (self.reader.channel(), chain_of(error));
            tracing::error!(channel, number, reason, "a block cannot be delivered");
            Halt::Answered(status::SERVICE_UNAVAILABLE)
        };
        let block = self.reader.block(number).map_err(|error| broken(&error))?;
        let block = block.ok_or(status::SERVICE_UNAVAILABLE)?;
        let kind = (service, self.seek.headers_only);
        let content = content(kind, &self.reader, &block, self.session.who(), hold);
        content.map_err(|none| match none {
            NoContent::Unread(error) => broken(&error),
            NoContent::NoRoom => Halt::Answered(status::SERVICE_UNAVAILABLE),
        })
    }

    /// The next answer that was read already, if whoever reads still may have it. It counts as sent.
    fn next_ready(&mut self) -> Result<Option<(Response, Vec<Room>)>, Halt> {
        let Some(ready) = self.ready.pop_front() else {
            return Ok(None);
        };
        self.session.check()?;
        self.seek.sent();
        self.asked.sent();
        Ok(Some(ready))
    }
}
