//! Makes chaincode calls of request bodies.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use quire_chaincode::{Call, Chaincodes, documents};
use quire_wire::transaction::Opened;
use serde_json::value::RawValue;

use super::body::Members;
use crate::problem::{Problem, ProblemKind};

/// The members of a call.
const CALL: &[&str] = &["chaincode", "function", "args", "encoding", "isInit"];

/// A call that a body asks for.
#[derive(Debug)]
pub(crate) struct RequestedCall {
    pub(crate) call: Call,
    /// Whether it is the initialisation of its chaincode.
    pub(crate) is_init: bool,
}

/// The body of a transaction: a call, or operations.
pub(crate) fn of_transaction(
    body: &Bytes,
    chaincodes: &Chaincodes,
) -> Result<RequestedCall, Problem> {
    let mut members = Members::parse(body)?;
    let Some(operations) = members.take("operations") else {
        return of_members(members, body, &[CALL, &["operations"]].concat(), chaincodes);
    };
    members.finish(&["operations"])?;
    if !operations.get().starts_with('[') {
        return Err(Problem::invalid_argument("operations is not a list."));
    }
    let operations = body.slice_ref(operations.get().as_bytes());
    Ok(RequestedCall {
        call: documents::apply(operations),
        is_init: false,
    })
}

/// The body of an evaluation: a call.
pub(crate) fn of_evaluation(
    body: &Bytes,
    chaincodes: &Chaincodes,
) -> Result<RequestedCall, Problem> {
    of_members(Members::parse(body)?, body, CALL, chaincodes)
}

fn of_members(
    mut members: Members<'_>,
    body: &Bytes,
    known: &[&str],
    chaincodes: &Chaincodes,
) -> Result<RequestedCall, Problem> {
    let chaincode = members.take_as::<Cow<'_, str>>("chaincode")?;
    let function = members.take_as::<Cow<'_, str>>("function")?;
    let args = members.take_as::<Vec<&RawValue>>("args")?;
    let encoding = members.take_as::<Cow<'_, str>>("encoding")?;
    let is_init = members.take_as::<bool>("isInit")?.unwrap_or_default();
    members.finish(known)?;
    let missing = |name: &str| Problem::invalid_argument(format!("The member {name} is missing."));
    let chaincode = chaincode.ok_or_else(|| missing("chaincode"))?.into_owned();
    let function = function.ok_or_else(|| missing("function"))?.into_owned();
    let takes_json = chaincodes.takes_json(&chaincode);
    if is_init && takes_json {
        let detail = "The built-in chaincode has no initialisation.";
        return Err(Problem::invalid_argument(detail));
    }
    let encoding = Encoding::of(encoding.as_deref(), takes_json)?;
    let args = args.unwrap_or_default().into_iter();
    let args = args.map(|argument| encoding.argument(argument, body));
    let call = Call {
        args: args.collect::<Result<_, _>>()?,
        chaincode,
        function,
    };
    Ok(RequestedCall { call, is_init })
}

/// What becomes of the arguments in a body.
#[derive(Clone, Copy)]
enum Encoding {
    /// Each is the JSON text that the caller sent.
    Json,
    /// A string is its text, and anything else is its JSON text.
    Text,
    /// Each is a string, and stands for the bytes that it encodes.
    Base64,
}

impl Encoding {
    fn of(named: Option<&str>, takes_json: bool) -> Result<Self, Problem> {
        match named {
            None if takes_json => Ok(Self::Json),
            None => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            Some("text") if !takes_json => Ok(Self::Text),
            Some("base64") if !takes_json => Ok(Self::Base64),
            Some("text" | "base64") => Err(Problem::invalid_argument(
                "The built-in chaincode takes JSON arguments only.",
            )),
            Some(_) => Err(Problem::invalid_argument(
                "encoding is none of text, json and base64.",
            )),
        }
    }

    fn argument(self, argument: &RawValue, body: &Bytes) -> Result<Bytes, Problem> {
        let json = argument.get();
        let text = || serde_json::from_str::<String>(json);
        match self {
            Self::Text if json.starts_with('"') => {
                let text = text().map_err(|error| {
                    Problem::new(ProblemKind::InvalidJson, format!("An argument: {error}."))
                })?;
                Ok(text.into())
            }
            Self::Json | Self::Text => Ok(body.slice_ref(json.as_bytes())),
            Self::Base64 => {
                let refused = || Problem::invalid_argument("An argument is not base64.");
                let text = text().map_err(|_| refused())?;
                Ok(BASE64.decode(text).map_err(|_| refused())?.into())
            }
        }
    }
}

/// The call in an envelope; `None` if there is none that can be read.
pub(crate) fn of_envelope(envelope: &Bytes) -> Option<Call> {
    let spec = Opened::read(envelope).ok()?.endorsed_call().ok()?.spec()?;
    let mut args = spec.input?.args.into_iter();
    let function = args.next()?;
    Some(Call {
        chaincode: spec.chaincode_id?.name,
        function: String::from_utf8(function.into()).ok()?,
        args: args.collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quire_chaincode::{Answer, Chaincode, Invocation, Proposed, Simulated};
    use quire_ledger::Simulator;

    use super::*;

    #[test]
    fn arguments_keep_their_text() {
        let body = Bytes::from_static(
            br#"{"chaincode":"orders","function":"put","args":["1001", {"total": 12.50} ]}"#,
        );
        let call = of_transaction(&body, &Chaincodes::default()).unwrap().call;
        assert_eq!(call.chaincode, "orders");
        assert_eq!(call.function, "put");
        assert_eq!(call.args, [&b"\"1001\""[..], &br#"{"total": 12.50}"#[..]]);

        let body = Bytes::from_static(br#"{"operations": [ {"op":"check"} ] }"#);
        let call = of_transaction(&body, &Chaincodes::default()).unwrap().call;
        assert_eq!(call.chaincode, "documents");
        assert_eq!(call.function, "apply");
        assert_eq!(call.args, [&br#"[ {"op":"check"} ]"#[..]]);
    }

    #[derive(Debug)]
    struct Deployed;

    impl Chaincode for Deployed {
        fn invoke(
            &self,
            _: &Call,
            _: &dyn Proposed,
            simulator: Simulator,
        ) -> Invocation<Simulated> {
            let answer = Ok(Answer::of(Bytes::new()));
            Invocation::Done(Simulated { simulator, answer })
        }
    }

    #[test]
    fn a_deployed_chaincode_gets_texts_and_bytes() {
        let chaincodes = Chaincodes::default();
        chaincodes.deploy("deployed", Arc::new(Deployed));
        let args = |chaincode: &str, rest: &str| {
            let body = format!(r#"{{"chaincode":"{chaincode}","function":"f","args":{rest}}}"#);
            of_evaluation(&Bytes::from(body), &chaincodes).map(|asked| asked.call.args)
        };
        let texts = args("deployed", r#"["a\u0062\n", 1.50, {"c": "d"}, null]"#).unwrap();
        assert_eq!(texts, [&b"ab\n"[..], b"1.50", br#"{"c": "d"}"#, b"null"]);
        let json = args("deployed", r#"["a"],"encoding":"json""#).unwrap();
        assert_eq!(json, [&b"\"a\""[..]]);
        let bytes = args("deployed", r#"["/wA=", ""],"encoding":"base64""#).unwrap();
        assert_eq!(bytes, [&b"\xff\0"[..], b""]);
        for (chaincode, rest) in [
            ("deployed", r#"["!"],"encoding":"base64""#),
            ("deployed", r#"[1],"encoding":"base64""#),
            ("deployed", r#"[],"encoding":"hex""#),
            ("orders", r#"[],"encoding":"base64""#),
            ("orders", r#"[],"encoding":"text""#),
        ] {
            let refused = args(chaincode, rest).unwrap_err();
            assert_eq!(refused.kind(), ProblemKind::InvalidArgument, "{rest}");
        }
        let refused = args("deployed", r#"["\ud800"]"#).unwrap_err();
        assert_eq!(refused.kind(), ProblemKind::InvalidJson);
    }

    #[test]
    fn only_a_deployed_chaincode_is_initialised() {
        let chaincodes = Chaincodes::default();
        chaincodes.deploy("deployed", Arc::new(Deployed));
        let is_init = |chaincode: &str, value: &str| {
            let body = format!(r#"{{"chaincode":"{chaincode}","function":"f","isInit":{value}}}"#);
            let asked = of_transaction(&Bytes::from(body), &chaincodes);
            asked
                .map(|asked| asked.is_init)
                .map_err(|problem| problem.kind())
        };
        assert_eq!(is_init("deployed", "true"), Ok(true));
        assert_eq!(is_init("deployed", "false"), Ok(false));
        assert_eq!(is_init("orders", "false"), Ok(false));
        for (chaincode, value) in [("orders", "true"), ("deployed", "1")] {
            assert_eq!(is_init(chaincode, value), Err(ProblemKind::InvalidArgument));
        }
    }

    #[test]
    fn bodies_that_are_no_transaction_are_refused() {
        let rows: [(&[u8], ProblemKind); 8] = [
            (b"{}", ProblemKind::InvalidArgument),
            (br#"{"chaincode":"a"}"#, ProblemKind::InvalidArgument),
            (br#"{"operations":{}}"#, ProblemKind::InvalidArgument),
            (
                br#"{"operations":[],"chaincode":"a"}"#,
                ProblemKind::InvalidArgument,
            ),
            (
                br#"{"chaincode":"a","function":"b","args":{}}"#,
                ProblemKind::InvalidArgument,
            ),
            (
                br#"{"chaincode":"a","function":"b","arg":[]}"#,
                ProblemKind::InvalidArgument,
            ),
            (
                br#"{"chaincode":"a","chaincode":"b","function":"c"}"#,
                ProblemKind::InvalidJson,
            ),
            (
                br#"{"chaincode":"\ud800","function":"c"}"#,
                ProblemKind::InvalidJson,
            ),
        ];
        for (body, kind) in rows {
            let problem =
                of_transaction(&Bytes::from_static(body), &Chaincodes::default()).unwrap_err();
            assert_eq!(problem.kind(), kind, "{}", String::from_utf8_lossy(body));
        }
    }
}
