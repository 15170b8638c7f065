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
fn deletion_is_due_once_every_chain_has_passed_its_cut_off() {
    let mut ledger = DeletionLedger::default();
    ledger.apply_kind(Kind::Deletion(deletion("m", 1, &[(0, 5), (1, 0), (2, 3)])));
    let due = |next: [i64; 3]| ledger.due(1, |partition| next[partition as usize]).len();
    assert_eq!([due([5, 0, 3]), due([9, 9, 9])], [1, 1]);
    assert_eq!([due([4, 9, 9]), due([5, 0, 2])], [0, 0]);
}

#[test]
fn deletion_is_pending_until_exactly_it_is_applied() {
    let (first, second) = (deletion("m", 5, &[(0, 1)]), deletion("m", 6, &[(0, 2)]));
    let mut ledger = DeletionLedger::default();
    ledger.apply_kind(Kind::Deletion(first.clone()));
    ledger.apply_kind(applied(&first, 1));
    assert_eq!((ledger.pending(1).count(), ledger.pending(2).count()), (0, 1));
    ledger.apply_kind(Kind::Deletion(second.clone()));
    assert_eq!(ledger.pending(1).collect::<Vec<_>>(), [&second]);
    // A worker that knew only the first deletion publishes its event late.
    ledger.apply_kind(applied(&second, 1));
    ledger.apply_kind(applied(&first, 1));
    assert_eq!(ledger.pending(1).count(), 1, "it is applied again, which changes nothing in the store");
}

#[test]
fn late_records_of_a_deleted_project_are_covered_after_it_is_applied() {
    let removed = deletion("", 5, &[(0, 1)]);
    let mut ledger = DeletionLedger::default();
    ledger.apply_kind(Kind::Deletion(removed.clone()));
    assert_eq!(ledger.applied_project_deletions(1), []);
    ledger.apply_kind(applied(&removed, 1));
    assert_eq!(ledger.applied_project_deletions(1), [removed]);
    assert!(ledger.covers("p", "any", 7, i64::MAX) && !ledger.covers("q", "any", 7, 0));
}

/// A step of the model; steps occur in any order.
#[derive(Debug, Clone)]
enum Step {
    /// Writes a record of a metric to a partition.
    Write { partition: usize, metric: usize },
    /// Deletes a metric; its cut-off offsets are the ends of the log.
    Delete { metric: usize },
    /// Stores the next records of a partition in a generation.
    Store { generation: usize, partition: usize, count: usize },
    /// Erases what is due in a generation; the worker may end before it publishes that.
    Erase { generation: usize, publish: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2usize, 0..2usize).prop_map(|(partition, metric)| Step::Write { partition, metric }),
        1 => (0..2usize).prop_map(|metric| Step::Delete { metric }),
        3 => (0..2usize, 0..2usize, 1..4usize)
            .prop_map(|(generation, partition, count)| Step::Store { generation, partition, count }),
        2 => (0..2usize, any::<bool>())
            .prop_map(|(generation, publish)| Step::Erase { generation, publish }),
    ];
    prop::collection::vec(step, 0..120)
}

/// A model of the log, of two stores that are filled from it, and of the workers that erase.
#[derive(Default)]
struct Model {
    /// Metric of each record, by partition.
    log: [Vec<usize>; 2],
    /// End of each partition at the last deletion, by metric.
    cut_offs: [[i64; 2]; 2],
    ledger: DeletionLedger,
    deletions: i64,
    stores: [Store; 2],
}

#[derive(Default, Clone)]
struct Store {
    next: [usize; 2],
    /// Partition, offset and metric.
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

    fn erase(&mut self, generation: usize, publish: bool) {
        let number = generation as u32 + 1;
        let store = &mut self.stores[generation];
        let next = store.next;
        for due in self.ledger.due(number, |partition| next[partition as usize] as i64) {
            store.rows.retain(|(partition, offset, metric)| {
                !control::deletions::covers_sample(&due, &metric.to_string(), *partition, *offset)
            });
            if publish {
                self.ledger.apply_kind(applied(&due, number));
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { partition, metric } => self.log[partition].push(metric),
            Step::Delete { metric } => {
                self.deletions += 1;
                self.cut_offs[metric] = [0, 1].map(|partition: usize| self.log[partition].len() as i64);
                let cuts = [0, 1].map(|partition| (partition as i32, self.cut_offs[metric][partition]));
                self.ledger.apply_kind(Kind::Deletion(deletion(&metric.to_string(), self.deletions, &cuts)));
            }
            Step::Store { generation, partition, count } => self.store(generation, partition, count),
            Step::Erase { generation, publish } => self.erase(generation, publish),
        }
    }

    /// The records that must be stored in the end: all that the last deletion of their metric does not cover.
    fn expected(&self) -> BTreeSet<(i32, i64, usize)> {
        let records = self.log.iter().enumerate().flat_map(|(partition, log)| {
            log.iter().enumerate().map(move |(offset, &metric)| (partition as i32, offset as i64, metric))
        });
        records
            .filter(|&(partition, offset, metric)| offset >= self.cut_offs[metric][partition as usize])
            .collect()
    }
}

proptest! {
    #[test]
    fn deleted_records_never_reappear_and_no_other_is_lost(steps in steps()) {
        let mut model = Model::default();
        for step in &steps {
            model.step(step);
            let expected = model.expected();
            for (generation, store) in model.stores.iter().enumerate() {
                let next: HashMap<i32, i64> = [(0, store.next[0] as i64), (1, store.next[1] as i64)].into();
                for row in expected.iter().filter(|(partition, offset, _)| *offset < next[partition]) {
                    prop_assert!(store.rows.contains(row), "generation {generation} lost {row:?}");
                }
                let pending: Vec<&Deletion> = model.ledger.pending(generation as u32 + 1).collect();
                for (partition, offset, metric) in store.rows.iter().filter(|row| !expected.contains(row)) {
                    let hidden = pending.iter().any(|deletion| {
                        control::deletions::covers_sample(deletion, &metric.to_string(), *partition, *offset)
                    });
                    prop_assert!(hidden, "generation {generation} shows the deleted {partition}/{offset}");
                }
            }
        }
        // In the end everything is stored and erased, whatever was interrupted before.
        for generation in 0..2 {
            (0..2).for_each(|partition| model.store(generation, partition, usize::MAX));
            model.erase(generation, true);
            prop_assert_eq!(&model.stores[generation].rows, &model.expected());
            prop_assert_eq!(model.ledger.pending(generation as u32 + 1).count(), 0);
        }
    }
}
