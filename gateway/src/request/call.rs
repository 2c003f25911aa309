//! Makes chaincode calls of request bodies.

use std::borrow::Cow;

use bytes::Bytes;
use quire_chaincode::{Call, documents};
use quire_wire::transaction::Opened;
use serde_json::value::RawValue;

use super::body::Members;
use crate::problem::Problem;

/// The members of a call.
const CALL: &[&str] = &["chaincode", "function", "args"];

/// The body of a transaction: a call, or operations.
pub(crate) fn of_transaction(body: &Bytes) -> Result<Call, Problem> {
    let mut members = Members::parse(body)?;
    let Some(operations) = members.take("operations") else {
        return of_members(members, body, &[CALL, &["operations"]].concat());
    };
    members.finish(&["operations"])?;
    if !operations.get().starts_with('[') {
        return Err(Problem::invalid_argument("operations is not a list."));
    }
    let operations = body.slice_ref(operations.get().as_bytes());
    Ok(documents::apply(operations))
}

/// The body of an evaluation: a call.
pub(crate) fn of_evaluation(body: &Bytes) -> Result<Call, Problem> {
    of_members(Members::parse(body)?, body, CALL)
}

fn of_members(mut members: Members<'_>, body: &Bytes, known: &[&str]) -> Result<Call, Problem> {
    let chaincode = members.take_as::<Cow<'_, str>>("chaincode")?;
    let function = members.take_as::<Cow<'_, str>>("function")?;
    let args = members.take_as::<Vec<&RawValue>>("args")?;
    members.finish(known)?;
    let missing = |name: &str| Problem::invalid_argument(format!("The member {name} is missing."));
    Ok(Call {
        chaincode: chaincode.ok_or_else(|| missing("chaincode"))?.into_owned(),
        function: function.ok_or_else(|| missing("function"))?.into_owned(),
        // Each argument is the text that the caller sent.
        args: args
            .unwrap_or_default()
            .into_iter()
            .map(|argument| body.slice_ref(argument.get().as_bytes()))
            .collect(),
    })
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
    use super::*;
    use crate::problem::ProblemKind;

    #[test]
    fn arguments_keep_their_text() {
        let body = Bytes::from_static(
            br#"{"chaincode":"orders","function":"put","args":["1001", {"total": 12.50} ]}"#,
        );
        let call = of_transaction(&body).unwrap();
        assert_eq!(call.chaincode, "orders");
        assert_eq!(call.function, "put");
        assert_eq!(call.args, [&b"\"1001\""[..], &br#"{"total": 12.50}"#[..]]);

        let body = Bytes::from_static(br#"{"operations": [ {"op":"check"} ] }"#);
        let call = of_transaction(&body).unwrap();
        assert_eq!(call.chaincode, "documents");
        assert_eq!(call.function, "apply");
        assert_eq!(call.args, [&br#"[ {"op":"check"} ]"#[..]]);
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
            let problem = of_transaction(&Bytes::from_static(body)).unwrap_err();
            assert_eq!(problem.kind(), kind, "{}", String::from_utf8_lossy(body));
        }
    }
}
