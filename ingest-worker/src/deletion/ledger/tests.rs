use super::*;
use proptest::prelude::*;
use proto::v1::DeletionApplied;
use std::collections::HashMap;

fn deletion(metric: &str, deleted_at_ms: i64, cuts: &[(i32, i64)]) -> Deletion {
    Deletion {
        project_id: "p".to_owned(),
        metric_id: metric.to_owned(),
        deleted_at_ms,
        cuts: cuts.iter().copied().collect(),
    }
}

fn applied(deletion: &Deletion, generation: u32) -> Kind {
    Kind::DeletionApplied(DeletionApplied {
        project_id: deletion.project_id.clone(),
        metric_id: deletion.metric_id.clone(),
        generation,
        deleted_at_ms: deletion.deleted_at_ms,
    })
}

#[test]
fn a_deletion_is_due_when_every_chain_has_passed_its_cut() {
    let mut ledger = Ledger::default();
    ledger.learn(Kind::Deletion(deletion("m", 1, &[(0, 5), (1, 0), (2, 3)])));
    let due = |next: [i64; 3]| ledger.due(1, |partition| next[partition as usize]).len();
    assert_eq!([due([5, 0, 3]), due([9, 9, 9])], [1, 1]);
    assert_eq!([due([4, 9, 9]), due([5, 0, 2])], [0, 0]);
}

#[test]
fn a_deletion_is_open_until_a_generation_has_applied_that_very_one() {
    let (first, second) = (deletion("m", 5, &[(0, 1)]), deletion("m", 6, &[(0, 2)]));
    let mut ledger = Ledger::default();
    ledger.learn(Kind::Deletion(first.clone()));
    ledger.learn(applied(&first, 1));
    assert_eq!((ledger.open(1).count(), ledger.open(2).count()), (0, 1));
    ledger.learn(Kind::Deletion(second.clone()));
    assert_eq!(ledger.open(1).collect::<Vec<_>>(), [&second]);
    // A worker that knew of the first one alone says so late.
    ledger.learn(applied(&second, 1));
    ledger.learn(applied(&first, 1));
    assert_eq!(ledger.open(1).count(), 1, "it is applied again, which changes nothing");
}

#[test]
fn what_comes_late_of_a_removed_project_is_looked_for_once_the_rest_is_gone() {
    let removed = deletion("", 5, &[(0, 1)]);
    let mut ledger = Ledger::default();
    ledger.learn(Kind::Deletion(removed.clone()));
    assert_eq!(ledger.removed(1), []);
    ledger.learn(applied(&removed, 1));
    assert_eq!(ledger.removed(1), [removed]);
    assert!(ledger.covers("p", "any", 7, i64::MAX) && !ledger.covers("q", "any", 7, 0));
}

/// What may happen, in any order.
#[derive(Debug, Clone)]
enum Step {
    /// A record of a metric is written to a partition.
    Write(usize, usize),
    /// A metric is deleted: its cuts are the ends of the log.
    Delete(usize),
    /// A generation stores the next records of a partition.
    Store(usize, usize, usize),
    /// The worker erases what it finds due in a generation, and may end before it says so.
    Erase(usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2usize, 0..2usize).prop_map(|(partition, metric)| Step::Write(partition, metric)),
        1 => (0..2usize).prop_map(Step::Delete),
        3 => (0..2usize, 0..2usize, 1..4usize).prop_map(|(g, partition, count)| Step::Store(g, partition, count)),
        2 => (0..2usize, any::<bool>()).prop_map(|(g, says)| Step::Erase(g, says)),
    ];
    prop::collection::vec(step, 0..120)
}

/// A model of the log, two stores that are filled from it, and the workers that erase.
#[derive(Default)]
struct Model {
    /// By partition, the metric of each record.
    log: [Vec<usize>; 2],
    /// By metric, where the log ended when it was deleted last.
    cuts: [[i64; 2]; 2],
    ledger: Ledger,
    deletions: i64,
    stores: [Store; 2],
}

#[derive(Default, Clone)]
struct Store {
    next: [usize; 2],
    /// Partition, offset, metric.
    rows: BTreeSet<(i32, i64, usize)>,
}

impl Model {
    fn store(&mut self, generation: usize, partition: usize, count: usize) {
        let store = &mut self.stores[generation];
        for (offset, &metric) in
            self.log[partition].iter().enumerate().skip(store.next[partition]).take(count)
        {
            store.rows.insert((partition as i32, offset as i64, metric));
            store.next[partition] = offset + 1;
        }
    }

    fn erase(&mut self, generation: usize, says: bool) {
        let number = generation as u32 + 1;
        let store = &mut self.stores[generation];
        let next = store.next;
        for due in self.ledger.due(number, |partition| next[partition as usize] as i64) {
            store.rows.retain(|(partition, offset, metric)| {
                !accounts::deletions::covers(&due, &metric.to_string(), *partition, *offset)
            });
            if says {
                self.ledger.learn(applied(&due, number));
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(partition, metric) => self.log[partition].push(metric),
            Step::Delete(metric) => {
                self.deletions += 1;
                self.cuts[metric] = [0, 1].map(|partition: usize| self.log[partition].len() as i64);
                let cuts = [0, 1].map(|partition| (partition as i32, self.cuts[metric][partition]));
                self.ledger.learn(Kind::Deletion(deletion(&metric.to_string(), self.deletions, &cuts)));
            }
            Step::Store(generation, partition, count) => self.store(generation, partition, count),
            Step::Erase(generation, says) => self.erase(generation, says),
        }
    }

    /// What must be there in the end: every record that its metric's last deletion does not cover.
    fn expected(&self) -> BTreeSet<(i32, i64, usize)> {
        let records = self.log.iter().enumerate().flat_map(|(partition, log)| {
            log.iter().enumerate().map(move |(offset, &metric)| (partition as i32, offset as i64, metric))
        });
        records
            .filter(|&(partition, offset, metric)| offset >= self.cuts[metric][partition as usize])
            .collect()
    }
}

proptest! {
    #[test]
    fn what_was_deleted_never_comes_back_and_nothing_else_is_lost(steps in steps()) {
        let mut model = Model::default();
        for step in &steps {
            model.step(step);
            let expected = model.expected();
            for (generation, store) in model.stores.iter().enumerate() {
                let next: HashMap<i32, i64> = [(0, store.next[0] as i64), (1, store.next[1] as i64)].into();
                for row in expected.iter().filter(|(partition, offset, _)| *offset < next[partition]) {
                    prop_assert!(store.rows.contains(row), "generation {generation} lost {row:?}");
                }
                let open: Vec<&Deletion> = model.ledger.open(generation as u32 + 1).collect();
                for (partition, offset, metric) in store.rows.iter().filter(|row| !expected.contains(row)) {
                    let hidden = open.iter().any(|deletion| {
                        accounts::deletions::covers(deletion, &metric.to_string(), *partition, *offset)
                    });
                    prop_assert!(hidden, "generation {generation} shows {partition}/{offset}, which was deleted");
                }
            }
        }
        // Everything is stored and erased in the end, whatever was broken off before.
        for generation in 0..2 {
            (0..2).for_each(|partition| model.store(generation, partition, usize::MAX));
            model.erase(generation, true);
            prop_assert_eq!(&model.stores[generation].rows, &model.expected());
            prop_assert_eq!(model.ledger.open(generation as u32 + 1).count(), 0);
        }
    }
}
