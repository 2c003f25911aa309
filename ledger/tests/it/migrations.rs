//! A channel has a migration whole, with its indexes, or not at all, wherever a crash happens.

use quire_ledger::{CreateOptions, Ledgers, Migration, Purpose, Reader};

use crate::kit::chain;
use crate::kit::image::Loss;
use crate::kit::scratch;
use crate::kit::sim_disk::SimDisk;

const CHANNEL: &str = "main";
const FILES: [(&str, &[&str]); 2] = [
    ("0001-a.json", &["one", "two"]),
    ("0002-b.json", &["three"]),
];

fn migrations() -> Vec<Migration> {
    let parse = |(file, names): (&str, &[&str])| {
        let definition = |name: &&str| serde_json::json!({"namespace": "a", "ddoc": "d", "name": name, "index": {"fields": [name]}});
        let text: serde_json::Value = names.iter().map(definition).collect();
        Migration::parse(file, text.to_string().as_bytes()).unwrap()
    };
    FILES.into_iter().map(parse).collect()
}

fn has(reader: &Reader, name: &str) -> bool {
    let indexes = reader.indexes("a");
    indexes.iter().any(|index| index.definition["name"] == name)
}

#[test]
fn after_every_crash_a_migration_is_there_with_its_indexes_or_not_at_all() {
    let root = scratch();
    let data = root.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let disk = SimDisk::new(root.path());
    let ledgers = Ledgers::open(disk.shared(), &data, Purpose::Use).unwrap();
    let options = CreateOptions::default();
    let genesis = chain::genesis(CHANNEL);
    let ledger = ledgers.create(CHANNEL, genesis, options).unwrap();
    disk.record();
    let migrated = ledger.reader().migrate(&migrations()).unwrap();
    let all = FILES.map(|(file, names)| (file.to_owned(), names.len()));
    assert_eq!(migrated.applied, all);
    drop((ledger, ledgers));

    let (mut none, mut some) = (0, 0);
    for (at, moment) in disk.take_moments().into_iter().enumerate() {
        for loss in [
            None,
            Some(Loss::None),
            Some(Loss::All),
            Some(Loss::Torn(at as u64)),
        ] {
            let image = moment.image.clone();
            let image = match loss {
                None => image,
                Some(loss) => image.after_power_loss(loss),
            };
            let disk = SimDisk::of(root.path(), image);
            let ledgers = Ledgers::open(disk.shared(), &data, Purpose::Use).unwrap();
            let ledger = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap().0;
            let reader = ledger.reader();
            let before =
                FILES.map(|(_, names)| names.iter().filter(|name| has(&reader, name)).count());
            let migrated = reader.migrate(&migrations()).unwrap();
            let applied: Vec<&str> = migrated.applied.iter().map(|(file, _)| &file[..]).collect();
            for ((file, names), before) in FILES.iter().zip(before) {
                let context = format!("{loss:?} before {}: {file}", moment.what);
                let was_there = !applied.contains(file);
                assert_eq!(before, if was_there { names.len() } else { 0 }, "{context}");
                assert!(names.iter().all(|name| has(&reader, name)), "{context}");
                if was_there { some += 1 } else { none += 1 }
            }
        }
    }
    assert!(none > 0 && some > 0, "{none} {some}");
}
