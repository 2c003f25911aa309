//! A bookmark belongs to the listing that it came with: another listing refuses it.

use crate::kit::{Client, Node};

/// A node with keys m00 to m39 in two namespaces, a key with some history, and blocks.
async fn filled() -> Client {
    let client = Node::new().client();
    for namespace in ["a", "b"] {
        let puts = (0..40).map(|number| {
            format!(r#"{{"op":"put","namespace":"{namespace}","key":"m{number:02}","value":1}}"#)
        });
        let puts: Vec<String> = puts.collect();
        let body = format!(r#"{{"operations":[{}]}}"#, puts.join(","));
        client
            .post("./transactions", &[], &body)
            .await
            .assert_status(201);
    }
    for path in ["./state/a/k", "./state/b/k", "./state/a/l"] {
        for value in ["1", "2", "3"] {
            client.put(path, &[], value).await;
        }
    }
    client
}

async fn bookmark(client: &Client, path: &str) -> String {
    let page = client.get(path).await;
    let bookmark = page.assert_status(200).json()["bookmark"].clone();
    bookmark.as_str().unwrap().to_owned()
}

fn keys(answer: &crate::kit::Answer) -> Vec<String> {
    let rows = answer.assert_status(200).json();
    let rows = rows["rows"].as_array().unwrap().iter();
    rows.map(|row| row["key"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_bookmark_goes_on_in_its_own_listing_only() {
    let client = filled().await;
    for (own, others) in [
        (
            "./state/a?start=m&end=n",
            &[
                "./state/a?start=m20&end=m25",
                "./state/a?start=m&end=m25",
                "./state/a?start=m01&end=n",
                "./state/a?start=m",
                "./state/a?end=n",
                "./state/a?",
                "./state/b?start=m&end=n",
                "./history/a/k?",
                "./blocks?",
            ][..],
        ),
        (
            "./history/a/k?order=asc",
            &[
                "./history/a/k?order=desc",
                "./history/a/k?",
                "./history/a/l?order=asc",
                "./history/b/k?order=asc",
                "./state/a?",
                "./blocks?",
            ],
        ),
        (
            "./blocks?from=2",
            &[
                "./blocks?from=3",
                "./blocks?from=0",
                "./state/a?",
                "./history/a/k?",
            ],
        ),
    ] {
        let bookmark = bookmark(&client, &format!("{own}&limit=2")).await;
        for other in others {
            let path = format!("{other}&limit=2&bookmark={bookmark}");
            let answer = client.get(&path).await;
            answer.assert_problem(400, "INVALID_ARGUMENT");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with("The bookmark is not one of"), "{detail}");
        }
        // The size of a page may change between pages.
        let path = format!("{own}&limit=1&bookmark={bookmark}");
        client.get(&path).await.assert_status(200);
        let whole = client.get(&format!("{own}&limit=100")).await.json();
        let path = format!("{own}&limit=99&bookmark={bookmark}");
        let rest = client.get(&path).await.json();
        for list in ["rows", "entries", "blocks"] {
            let Some(whole) = whole[list].as_array() else {
                continue;
            };
            assert_eq!(rest[list].as_array().unwrap()[..], whole[2..]);
        }
    }
}

#[tokio::test]
async fn a_bookmark_that_lost_or_changed_a_letter_is_refused() {
    let client = filled().await;
    for own in [
        "./state/a?start=m",
        "./history/a/k?order=asc",
        "./blocks?from=1",
    ] {
        let bookmark = bookmark(&client, &format!("{own}&limit=2")).await;
        let ends = (0..bookmark.len()).map(|end| bookmark[..end].to_owned());
        let changed = (0..bookmark.len()).map(|at| {
            let mut letters = bookmark.clone().into_bytes();
            letters[at] = if letters[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(letters).unwrap()
        });
        let others = ["1bTAy", "3", "x", "%00", "=", "2.0"].map(str::to_owned);
        let long = "A".repeat(30_000);
        for text in ends.chain(changed).chain(others).chain([long]) {
            let answer = client.get(&format!("{own}&bookmark={text}")).await;
            answer.assert_problem(400, "INVALID_ARGUMENT");
        }
    }
}

#[tokio::test]
async fn a_bookmark_of_a_chaincode_s_range_or_history_is_of_that_range_or_history() {
    let client = filled().await;
    let evaluate = async |chaincode: &str, function: &str, args: &str| {
        let body =
            format!(r#"{{"chaincode":"{chaincode}","function":"{function}","args":[{args}]}}"#);
        client.post("./evaluate", &[], &body).await
    };
    for (function, own, others) in [
        (
            "range",
            r#"{"start":"m","end":"n","limit":3"#,
            &[
                ("a", r#"{"start":"m20","end":"m25","limit":3"#),
                ("a", r#"{"start":"m","limit":3"#),
                ("b", r#"{"start":"m","end":"n","limit":3"#),
            ][..],
        ),
        (
            "history",
            r#""k",{"order":"asc","limit":2"#,
            &[
                ("a", r#""k",{"limit":2"#),
                ("a", r#""l",{"order":"asc","limit":2"#),
                ("b", r#""k",{"order":"asc","limit":2"#),
            ],
        ),
    ] {
        let first = evaluate("a", function, &format!("{own}}}")).await;
        let bookmark = first.assert_status(200).json()["result"]["bookmark"].clone();
        let with = |args: &str| format!(r#"{args},"bookmark":{bookmark}}}"#);
        for (chaincode, args) in others {
            let answer = evaluate(chaincode, function, &with(args)).await;
            answer.assert_problem(400, "INVALID_ARGUMENT");
        }
        let next = evaluate("a", function, &with(own)).await;
        let next = next.assert_status(200).json()["result"].clone();
        let first = first.json()["result"].clone();
        let list = if function == "range" {
            "rows"
        } else {
            "entries"
        };
        assert_ne!(next[list][0], first[list][0]);
    }
}

#[tokio::test]
async fn pages_of_any_size_show_a_range_once_and_nothing_else() {
    let client = filled().await;
    for sizes in [[1, 2, 3], [7, 1, 7], [30, 30, 30]] {
        let mut found = Vec::new();
        let mut path = "./state/a?start=m10&end=m31".to_owned();
        let mut sizes = sizes.into_iter().cycle();
        loop {
            let limit = sizes.next().unwrap();
            let page = client.get(&format!("{path}&limit={limit}")).await;
            found.extend(keys(&page));
            let Some(bookmark) = page.json()["bookmark"].as_str().map(str::to_owned) else {
                break;
            };
            path = format!("./state/a?start=m10&end=m31&bookmark={bookmark}");
        }
        let expected: Vec<String> = (10..31).map(|number| format!("m{number}")).collect();
        assert_eq!(found, expected);
    }
}
