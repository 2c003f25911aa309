//! One call of a chaincode of another process, from its beginning to its end.
//!
//! ```text
//! TRANSACTION --> waits --- request ---> answer ---> RESPONSE, waits
//!                   |                       |
//!                   |                       +------> another chaincode has the simulator meanwhile
//!                   +------ COMPLETED ---> done
//! ```
//!
//! While the chaincode thinks, the call is a future that its stream wakes. The simulator never leaves the call
//! except for a callee, and comes back with what became of that.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use quire_ledger::{Simulator, Snapshot, chain_of};
use quire_wire::Message as _;
use quire_wire::peer::{ChaincodeEvent, Response};
use quire_wire::shim::{ChaincodeMessage, MessageType};

use super::error::ShimError;
use super::host::{Callee, Deadline, Host};
use super::limits::Limits;
use super::message::failed;
use super::request::{Answered, Asking, Failure};
use super::stream::{Heard, Seat};
use crate::chaincode::{Answer, ChaincodeError, Event, Simulated};
use crate::invocation::{Invocation, Patience, Piece, Waiting, Weight};

/// Fabric's status from which on a call went wrong.
const ERROR_THRESHOLD: i32 = 400;

/// A call under way, without its simulator.
pub(super) struct Exchange {
    pub(super) seat: Seat,
    pub(super) asking: Asking,
    pub(super) host: Arc<dyn Host>,
    pub(super) limits: Arc<Limits>,
    pub(super) deadline: Deadline,
    /// What the call sees of the ledger.
    pub(super) snapshot: Snapshot,
    /// The channel of the callee; nothing where there is none.
    pub(super) calling: String,
}

/// What a call goes on with.
enum Turn {
    Heard(Box<Heard>),
    TimedOut,
}

/// What a call goes on with while another chaincode has the simulator.
enum CalleeTurn {
    Goes(Piece<Simulated>),
    TimedOut,
}

impl Exchange {
    /// Waits for what the chaincode says next.
    pub(super) fn wait(mut self, simulator: Simulator) -> Invocation<Simulated> {
        Invocation::wait(async move {
            let turn = self.turn().await;
            let weight = turn.weight();
            Piece::new(weight, move |patience| {
                self.go_on(turn, simulator, patience)
            })
        })
    }

    async fn turn(&mut self) -> Turn {
        poll_fn(|context| {
            // Before what it says, or who always has something to say would never be too late.
            if self.deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready(Turn::TimedOut);
            }
            self.seat
                .poll(context)
                .map(|heard| Turn::Heard(Box::new(heard)))
        })
        .await
    }

    fn go_on(
        self,
        turn: Turn,
        mut simulator: Simulator,
        patience: Patience,
    ) -> Invocation<Simulated> {
        simulator.halted_by(patience);
        let answer = match turn {
            Turn::Heard(heard) => match *heard {
                Heard::Request(request) => return self.request(&request, simulator),
                Heard::Completed(message) => self.completed(message),
                Heard::Ended(why) => Err(self.unavailable(why)),
            },
            Turn::TimedOut => Err(self.timed_out()),
        };
        Invocation::Done(Simulated { simulator, answer })
    }

    fn request(
        mut self,
        request: &ChaincodeMessage,
        mut simulator: Simulator,
    ) -> Invocation<Simulated> {
        let kind = MessageType::try_from(request.r#type).unwrap_or(MessageType::Undefined);
        match self
            .asking
            .answer(kind, request, &mut simulator, &self.limits)
        {
            Ok(Answered::With { payload, held }) => {
                match self.seat.hold(held) {
                    Ok(true) => return self.reply(Ok(payload), kind, simulator),
                    Ok(false) => (),
                    Err(why) => {
                        let why = self.unavailable(why);
                        return self.end(kind, why, simulator);
                    }
                }
                let most = self.limits.call_bytes;
                let why = ChaincodeError::TooLarge {
                    size_bytes: most.saturating_add(held),
                    limit_bytes: most,
                };
                self.end(kind, why, simulator)
            }
            Ok(Answered::By(callee)) => self.call(*callee, simulator),
            Err(Failure::Say(why)) => self.reply(Err(why), kind, simulator),
            Err(Failure::End(error)) => self.end(kind, error, simulator),
        }
    }

    /// Answers a request, and waits for what comes next.
    fn reply(
        self,
        answer: Result<Bytes, String>,
        kind: MessageType,
        simulator: Simulator,
    ) -> Invocation<Simulated> {
        let (channel, tx_id) = (&self.asking.channel, &self.asking.tx_id);
        let message = match answer {
            Ok(payload) => ChaincodeMessage {
                r#type: MessageType::Response.into(),
                payload,
                txid: tx_id.clone(),
                channel_id: channel.clone(),
                ..ChaincodeMessage::default()
            },
            Err(why) => failed(kind, channel, tx_id, &why),
        };
        match self.seat.answer(message) {
            Ok(()) => self.wait(simulator),
            Err(why) => {
                let answer = Err(self.unavailable(why));
                Invocation::Done(Simulated { simulator, answer })
            }
        }
    }

    /// Ends the call for a reason that is not the chaincode's. It is told so that it need not wait.
    fn end(
        self,
        kind: MessageType,
        why: ChaincodeError,
        simulator: Simulator,
    ) -> Invocation<Simulated> {
        let text = "the transaction has been ended";
        let told = failed(kind, &self.asking.channel, &self.asking.tx_id, text);
        // Where it cannot be told, it is gone.
        drop(self.seat.answer(told));
        let answer = Err(why);
        Invocation::Done(Simulated { simulator, answer })
    }

    fn call(mut self, callee: Callee, simulator: Simulator) -> Invocation<Simulated> {
        self.calling.clone_from(&callee.transaction.channel);
        let host = Arc::clone(&self.host);
        self.follow(host.call(callee, simulator))
    }

    /// Goes on when the callee is done.
    fn follow(self, callee: Invocation<Simulated>) -> Invocation<Simulated> {
        match callee {
            Invocation::Done(simulated) => self.called(simulated),
            Invocation::Waiting(waiting) => self.wait_for(waiting),
        }
    }

    /// The end of this chaincode's own stream is met when the callee has given the simulator back: until then
    /// the transaction is the callee's.
    fn wait_for(mut self, mut callee: Waiting<Simulated>) -> Invocation<Simulated> {
        Invocation::wait(async move {
            let turn = poll_fn(|context| {
                if self.deadline.as_mut().poll(context).is_ready() {
                    return Poll::Ready(CalleeTurn::TimedOut);
                }
                let piece = Pin::new(&mut callee).poll(context);
                piece.map(CalleeTurn::Goes)
            })
            .await;
            match turn {
                CalleeTurn::Goes(piece) => {
                    let weight = piece.weight();
                    Piece::new(weight, move |patience| self.follow(piece.run(patience)))
                }
                CalleeTurn::TimedOut => Piece::new(Weight::Brief, move |_| self.abandon(callee)),
            }
        })
    }
}

impl Exchange {
    /// Tells the chaincode what its callee came to.
    fn called(self, simulated: Simulated) -> Invocation<Simulated> {
        let Simulated { simulator, answer } = simulated;
        let kind = MessageType::InvokeChaincode;
        let (response, event) = match answer {
            Ok(answer) => {
                let response = Response {
                    status: answer.status,
                    message: answer.message,
                    payload: answer.payload,
                };
                (response, answer.event)
            }
            Err(ChaincodeError::Refused {
                status,
                message,
                payload,
            }) => {
                let response = Response {
                    status,
                    message,
                    payload,
                };
                (response, None)
            }
            // Nobody has time any more, or the node cannot go on.
            Err(
                error @ (ChaincodeError::TimedOut { .. }
                | ChaincodeError::Read(_)
                | ChaincodeError::TooExpensive(_)),
            ) => return self.end(kind, error, simulator),
            Err(error) => {
                let why = format!("execute failed: {}", chain_of(&error));
                return self.reply(Err(why), kind, simulator);
            }
        };
        let event = event.map(|event| ChaincodeEvent {
            event_name: event.name,
            payload: event.payload,
            ..ChaincodeEvent::default()
        });
        let completed = ChaincodeMessage {
            r#type: MessageType::Completed.into(),
            payload: response.encode_to_vec().into(),
            txid: self.asking.tx_id.clone(),
            chaincode_event: event,
            channel_id: self.calling.clone(),
            ..ChaincodeMessage::default()
        };
        self.reply(Ok(completed.encode_to_vec().into()), kind, simulator)
    }

    /// Ends the call with the callee. What both recorded is lost with it, and so no caller of this one goes on.
    fn abandon(self, callee: Waiting<Simulated>) -> Invocation<Simulated> {
        drop(callee);
        let simulator = Simulator::new(self.snapshot.clone());
        let error = self.timed_out();
        self.end(MessageType::InvokeChaincode, error, simulator)
    }

    /// What the call came to.
    fn completed(&self, message: ChaincodeMessage) -> Result<Answer, ChaincodeError> {
        if message.r#type == i32::from(MessageType::Error) {
            let why = String::from_utf8_lossy(&message.payload);
            return Err(ChaincodeError::refused(why));
        }
        let response = Response::decode(message.payload);
        let response = response.map_err(|why| self.unavailable(ShimError::Malformed(why)))?;
        let Response {
            status,
            message: text,
            payload,
        } = response;
        if status >= ERROR_THRESHOLD {
            return Err(ChaincodeError::Refused {
                status,
                message: text,
                payload,
            });
        }
        let event = message.chaincode_event.map(|event| Event {
            name: event.event_name,
            payload: event.payload,
        });
        Ok(Answer {
            status,
            message: text,
            payload,
            event,
        })
    }

    fn unavailable(&self, source: ShimError) -> ChaincodeError {
        ChaincodeError::Unavailable {
            chaincode: self.asking.namespace.clone(),
            source,
        }
    }

    fn timed_out(&self) -> ChaincodeError {
        ChaincodeError::TimedOut {
            chaincode: self.asking.namespace.clone(),
            timeout: self.limits.timeout,
        }
    }
}

impl Turn {
    fn weight(&self) -> Weight {
        use MessageType as M;
        let Self::Heard(heard) = self else {
            return Weight::Brief;
        };
        let Heard::Request(request) = &**heard else {
            return Weight::Brief;
        };
        match M::try_from(request.r#type) {
            Ok(
                M::GetState | M::PutState | M::DelState | M::PutStateMetadata | M::GetStateMetadata,
            ) => Weight::Brief,
            Ok(M::GetStateMultiple | M::WriteBatchState | M::QueryStateClose) => Weight::Keys,
            _ => Weight::Scan,
        }
    }
}
