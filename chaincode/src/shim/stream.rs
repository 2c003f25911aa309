//! The stream of messages with one process of a chaincode.
//!
//! ```text
//! created -- REGISTER --> ready -- messages of calls, until the transport or the process breaks off --> ended
//!            <-- REGISTERED, READY
//! ```
//!
//! Each call has a place in the stream, by channel and transaction. A place holds one request at most: as in
//! Fabric, what comes while a request waits or is answered is dropped, and the end of the call is not. What
//! does not belong into a stream at all ends it, with all calls under way; what belongs to no call is answered
//! so. No message is acted on here.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use quire_wire::Message as _;
use quire_wire::peer::ChaincodeId;
use quire_wire::shim::{ChaincodeAdditionalParams, ChaincodeMessage, MessageType};

use super::error::ShimError;
use super::limits::Limits;
use super::message::{is_request, of_type, size, stray};

/// Writes of a batch, and keys of a question, at most: as Fabric's sample configuration has it.
const MAX_BATCH: u32 = 1000;

/// Decides whether a process may have the name that it registers under.
type Admit = Box<dyn FnOnce(&str) -> Result<(), ShimError> + Send>;

/// The transport's end of a stream. When it goes, the stream ends.
#[derive(Debug)]
pub struct Stream(Process);

/// A process of a chaincode, as far as its stream tells. A cheap clone.
#[derive(Clone)]
pub struct Process {
    pub(super) limits: Arc<Limits>,
    state: Arc<Mutex<State>>,
}

struct State {
    phase: Phase,
    /// By channel and transaction.
    places: HashMap<Key, Place>,
    /// For the process.
    outgoing: VecDeque<Outgoing>,
    /// Answers among them to requests that belong to no call.
    strays: usize,
    /// Bytes of messages that wait, and of what calls hold.
    held_bytes: usize,
    /// The transport, where it waits for messages.
    transport: Option<Waker>,
    /// Who waits for the process to register, or for the stream to end.
    waiting: Vec<Waker>,
}

enum Phase {
    Created(Option<Admit>),
    Ready(String),
    Ended(ShimError),
}

pub(super) type Key = (String, String);

struct Outgoing {
    message: ChaincodeMessage,
    bytes: usize,
    is_stray: bool,
}

/// A call under way.
#[derive(Default)]
struct Place {
    /// A request that nobody has looked at.
    request: Option<ChaincodeMessage>,
    is_answering: bool,
    /// What the call came to.
    end: Option<Result<ChaincodeMessage, ShimError>>,
    /// Whoever drives the call.
    waker: Option<Waker>,
    /// Of the stream's bytes.
    held_bytes: usize,
}

/// What a call hears of its process.
#[derive(Debug)]
pub(super) enum Heard {
    /// It wants something.
    Request(ChaincodeMessage),
    /// It is done.
    Completed(ChaincodeMessage),
    /// It will not be heard of any more.
    Ended(ShimError),
}

impl Stream {
    /// Begins a stream. The process has not registered; `admit` decides about the name it gives when it does.
    pub fn new(
        limits: Limits,
        admit: impl FnOnce(&str) -> Result<(), ShimError> + Send + 'static,
    ) -> Self {
        Self(Process {
            limits: Arc::new(limits),
            state: Arc::new(Mutex::new(State {
                phase: Phase::Created(Some(Box::new(admit))),
                places: HashMap::new(),
                outgoing: VecDeque::new(),
                strays: 0,
                held_bytes: 0,
                transport: None,
                waiting: Vec::new(),
            })),
        })
    }

    /// The process at the other end.
    #[must_use]
    pub fn process(&self) -> Process {
        self.0.clone()
    }

    /// Takes in a message from the process.
    ///
    /// # Errors
    /// The message ends the stream, and the transport is to hang up.
    pub fn take(&self, message: ChaincodeMessage) -> Result<(), ShimError> {
        let mut state = self.0.state.lock();
        let taken = state.take(message, &self.0.limits);
        if let Err(error) = &taken {
            state.end(error);
        }
        taken
    }

    /// The next message for the process; none when the stream has ended. Only one may wait for it.
    pub async fn next(&self) -> Option<ChaincodeMessage> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// See [`Self::next`].
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<ChaincodeMessage>> {
        let mut state = self.0.state.lock();
        if matches!(state.phase, Phase::Ended(_)) {
            return Poll::Ready(None);
        }
        let Some(outgoing) = state.outgoing.pop_front() else {
            keep(&mut state.transport, context);
            return Poll::Pending;
        };
        state.held_bytes = state.held_bytes.saturating_sub(outgoing.bytes);
        state.strays -= usize::from(outgoing.is_stray);
        Poll::Ready(Some(outgoing.message))
    }

    /// Ends the stream for a reason that the transport knows.
    pub fn end(&self, why: &ShimError) {
        self.0.state.lock().end(why);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end(&ShimError::Gone);
    }
}

impl Process {
    /// The name under which the process registered, once it has.
    ///
    /// # Errors
    /// Why the stream ended.
    pub async fn registered(&self) -> Result<String, ShimError> {
        self.when(|phase| match phase {
            Phase::Ready(name) => Some(Ok(name.clone())),
            Phase::Ended(why) => Some(Err(why.clone())),
            Phase::Created(_) => None,
        })
        .await
    }

    /// Why the stream ended, once it has.
    pub async fn ended(&self) -> ShimError {
        self.when(|phase| match phase {
            Phase::Ended(why) => Some(why.clone()),
            Phase::Created(_) | Phase::Ready(_) => None,
        })
        .await
    }

    /// Waits until the stream's phase tells something.
    async fn when<T>(&self, tells: impl Fn(&Phase) -> Option<T>) -> T {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if let Some(told) = tells(&state.phase) {
                return Poll::Ready(told);
            }
            let waker = context.waker();
            if !state.waiting.iter().any(|known| known.will_wake(waker)) {
                state.waiting.push(waker.clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Whether calls can be made.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Ready(_))
    }

    /// How many calls are under way.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state.lock().places.len()
    }

    /// Bytes of messages that wait and of what calls hold.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.state.lock().held_bytes
    }

    /// Gives a call its place, and sends it to the process.
    pub(super) fn begin(&self, message: ChaincodeMessage) -> Result<Seat, ShimError> {
        let mut state = self.state.lock();
        match &state.phase {
            Phase::Created(_) => return Err(ShimError::NotConnected),
            Phase::Ended(why) => return Err(why.clone()),
            Phase::Ready(_) => {}
        }
        let key = (message.channel_id.clone(), message.txid.clone());
        if state.places.contains_key(&key) {
            return Err(ShimError::SameTransaction);
        }
        if state.places.len() >= self.limits.calls {
            return Err(ShimError::Crowded(self.limits.calls));
        }
        state.send(message, false, &self.limits)?;
        state.places.insert(key.clone(), Place::default());
        Ok(Seat {
            process: self.clone(),
            key,
        })
    }
}

/// The place of a call. It is free again when this goes.
pub(super) struct Seat {
    process: Process,
    pub(super) key: Key,
}

impl Seat {
    /// What the process says next.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Heard> {
        let mut state = self.process.state.lock();
        let state = &mut *state;
        let Some(place) = state.places.get_mut(&self.key) else {
            return Poll::Ready(Heard::Ended(ShimError::Gone));
        };
        // A request before the end is still answered to nobody; the end is what counts.
        if let Some(end) = place.end.take() {
            return Poll::Ready(match end {
                Ok(message) => {
                    state.held_bytes = state.held_bytes.saturating_sub(size(&message));
                    Heard::Completed(message)
                }
                Err(why) => Heard::Ended(why),
            });
        }
        if let Some(request) = place.request.take() {
            place.is_answering = true;
            state.held_bytes = state.held_bytes.saturating_sub(size(&request));
            return Poll::Ready(Heard::Request(request));
        }
        keep(&mut place.waker, context);
        Poll::Pending
    }

    /// Answers the request that the process made.
    pub(super) fn answer(&self, message: ChaincodeMessage) -> Result<(), ShimError> {
        let mut state = self.process.state.lock();
        if let Phase::Ended(why) = &state.phase {
            return Err(why.clone());
        }
        if let Some(place) = state.places.get_mut(&self.key) {
            place.is_answering = false;
        }
        state.send(message, false, &self.process.limits)
    }

    /// Counts bytes that the node holds for the call. Whether the call may have so many.
    pub(super) fn hold(&self, bytes: usize) -> Result<bool, ShimError> {
        let limits = &self.process.limits;
        let mut state = self.process.state.lock();
        let state = &mut *state;
        let Some(place) = state.places.get_mut(&self.key) else {
            return Ok(true);
        };
        let (call, stream) = (place.held_bytes + bytes, state.held_bytes + bytes);
        if stream > limits.stream_bytes {
            return Err(ShimError::Overfull(limits.stream_bytes));
        }
        if call > limits.call_bytes {
            return Ok(false);
        }
        place.held_bytes = call;
        state.held_bytes = stream;
        Ok(true)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.process.state.lock();
        if let Some(place) = state.places.remove(&self.key) {
            state.forget(&place);
        }
    }
}

impl State {
    fn take(&mut self, message: ChaincodeMessage, limits: &Limits) -> Result<(), ShimError> {
        let size_bytes = size(&message);
        if size_bytes > limits.message_bytes {
            return Err(ShimError::TooLarge {
                size_bytes,
                limit_bytes: limits.message_bytes,
            });
        }
        let kind = MessageType::try_from(message.r#type)
            .map_err(|_| ShimError::UnknownType(message.r#type))?;
        if kind == MessageType::Keepalive {
            return Ok(());
        }
        match &mut self.phase {
            Phase::Created(admit) => match (kind, admit.take()) {
                (MessageType::Register, Some(admit)) => self.register(message, admit, limits),
                _ => Err(ShimError::OutOfTurn {
                    message: kind,
                    state: "created",
                }),
            },
            Phase::Ready(_) => self.take_in_ready(kind, message, limits),
            Phase::Ended(why) => Err(why.clone()),
        }
    }

    fn register(
        &mut self,
        message: ChaincodeMessage,
        admit: Admit,
        limits: &Limits,
    ) -> Result<(), ShimError> {
        let id = ChaincodeId::decode(message.payload).map_err(ShimError::Malformed)?;
        admit(&id.name)?;
        self.send(of_type(MessageType::Registered), false, limits)?;
        let params = ChaincodeAdditionalParams {
            use_write_batch: true,
            max_size_write_batch: MAX_BATCH,
            use_get_multiple_keys: true,
            max_size_get_multiple_keys: MAX_BATCH,
        };
        let ready = ChaincodeMessage {
            payload: params.encode_to_vec().into(),
            ..of_type(MessageType::Ready)
        };
        self.send(ready, false, limits)?;
        self.phase = Phase::Ready(id.name);
        self.waiting.drain(..).for_each(Waker::wake);
        Ok(())
    }

    fn take_in_ready(
        &mut self,
        kind: MessageType,
        message: ChaincodeMessage,
        limits: &Limits,
    ) -> Result<(), ShimError> {
        let is_end = matches!(kind, MessageType::Completed | MessageType::Error);
        if !is_end && !is_request(kind) {
            return Err(ShimError::OutOfTurn {
                message: kind,
                state: "ready",
            });
        }
        let key = (message.channel_id.clone(), message.txid.clone());
        let bytes = size(&message);
        let fits = self.held_bytes + bytes <= limits.stream_bytes;
        let Some(place) = self.places.get_mut(&key) else {
            // Fabric forgets the end of a call that nobody waits for.
            return if is_end {
                Ok(())
            } else {
                self.send(stray(kind, &message), true, limits)
            };
        };
        if place.end.is_some() || !is_end && (place.is_answering || place.request.is_some()) {
            return Ok(());
        }
        if !fits {
            place.end = Some(Err(ShimError::Overfull(limits.stream_bytes)));
        } else if is_end {
            self.held_bytes += bytes;
            place.end = Some(Ok(message));
        } else {
            self.held_bytes += bytes;
            place.request = Some(message);
        }
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn send(
        &mut self,
        message: ChaincodeMessage,
        is_stray: bool,
        limits: &Limits,
    ) -> Result<(), ShimError> {
        let bytes = size(&message);
        if is_stray && self.strays >= limits.strays {
            return Err(ShimError::Flood);
        }
        if self.held_bytes + bytes > limits.stream_bytes {
            return Err(ShimError::Overfull(limits.stream_bytes));
        }
        self.strays += usize::from(is_stray);
        self.held_bytes += bytes;
        self.outgoing.push_back(Outgoing {
            message,
            bytes,
            is_stray,
        });
        if let Some(transport) = self.transport.take() {
            transport.wake();
        }
        Ok(())
    }

    /// Gives back what a call held.
    fn forget(&mut self, place: &Place) {
        let end = place.end.as_ref().and_then(|end| end.as_ref().ok());
        let messages = end.into_iter().chain(&place.request);
        let bytes = messages.map(size).sum::<usize>() + place.held_bytes;
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }

    /// Ends all calls, and lets go of what waits for the process.
    fn end(&mut self, why: &ShimError) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        self.phase = Phase::Ended(why.clone());
        for outgoing in mem::take(&mut self.outgoing) {
            self.held_bytes = self.held_bytes.saturating_sub(outgoing.bytes);
        }
        self.strays = 0;
        for place in self.places.values_mut() {
            // What has come to its end before has done so.
            place.end.get_or_insert_with(|| Err(why.clone()));
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
        self.waiting.drain(..).for_each(Waker::wake);
        if let Some(transport) = self.transport.take() {
            transport.wake();
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Process")
            .field("calls", &state.places.len())
            .field("held_bytes", &state.held_bytes)
            .finish_non_exhaustive()
    }
}

fn keep(waker: &mut Option<Waker>, context: &Context<'_>) {
    match waker {
        Some(known) => known.clone_from(context.waker()),
        None => *waker = Some(context.waker().clone()),
    }
}
