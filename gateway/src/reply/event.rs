//! What a chaincode tells those who listen, inside JSON answers.

use quire_wire::Message as _;
use quire_wire::peer::{ChaincodeAction, ChaincodeEvent};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::value::{base64, json_text};

/// What a chaincode tells those who listen, once the transaction is in a block and valid.
#[derive(Serialize, ToSchema)]
#[schema(as = ChaincodeEvent)]
pub(crate) struct EventDocument<'a> {
    /// Which chaincode tells it.
    chaincode: &'a str,
    name: &'a str,
    #[serde(flatten)]
    payload: Payload<'a>,
}

/// As JSON, or else in base64; null if it is empty.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = EventPayload)]
enum Payload<'a> {
    Json {
        #[schema(value_type = serde_json::Value)]
        payload: Option<&'a RawValue>,
    },
    Bytes {
        #[serde(rename = "payloadBase64")]
        payload: String,
    },
}

impl<'a> EventDocument<'a> {
    pub(crate) fn of(event: &'a ChaincodeEvent) -> Self {
        let payload = match json_text(&event.payload) {
            None if !event.payload.is_empty() => Payload::Bytes {
                payload: base64(&event.payload),
            },
            payload => Payload::Json { payload },
        };
        Self {
            chaincode: &event.chaincode_id,
            name: &event.event_name,
            payload,
        }
    }
}

/// The event that an endorsed transaction holds; none where there is none, or where others wrote what is not one.
pub(crate) fn event_of(action: &ChaincodeAction) -> Option<ChaincodeEvent> {
    let event = Some(action.events.clone()).filter(|event| !event.is_empty());
    ChaincodeEvent::decode(event?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_where_they_can_be() {
        for (payload, expected) in [
            (&br#"{"a":1.10}"#[..], r#""payload":{"a":1.10}}"#),
            (b"7", r#""payload":7}"#),
            (b"", r#""payload":null}"#),
            (b"plain", r#""payloadBase64":"cGxhaW4="}"#),
        ] {
            let event = ChaincodeEvent {
                chaincode_id: "orders".to_owned(),
                tx_id: "t".to_owned(),
                event_name: "Paid".to_owned(),
                payload: payload.into(),
            };
            let text = serde_json::to_string(&EventDocument::of(&event)).unwrap();
            let expected = format!(r#"{{"chaincode":"orders","name":"Paid",{expected}"#);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn what_is_no_event_is_told_as_none() {
        let action = |events: &'static [u8]| ChaincodeAction {
            events: events.into(),
            ..ChaincodeAction::default()
        };
        assert_eq!(event_of(&action(b"")), None);
        assert_eq!(event_of(&action(b"\xff")), None);
        assert!(event_of(&action(b"\x0a\x01a")).is_some());
    }
}
