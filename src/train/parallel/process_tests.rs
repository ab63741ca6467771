//! Processes of a job as threads of the test: what they exchange goes through memory, everything else is as with MPI.

use super::*;
use crate::Error;
use crate::testing::host;
use burn::tensor::{Tensor, TensorData};
use std::sync::Arc;

/// The processes of a test, each a thread.
#[derive(Debug)]
struct ThreadProcess {
    member: Communicator,
}

impl ThreadProcess {
    fn gather(&self, own: Vec<u8>) -> Vec<Vec<u8>> {
        self.member.local_gather(own).unwrap().iter().map(|bytes| bytes.to_vec()).collect()
    }
}

impl ProcessGroup for ThreadProcess {
    fn rank(&self) -> usize {
        self.member.local_rank()
    }

    fn size(&self) -> usize {
        self.member.local_workers()
    }

    fn on_machine(&self) -> (usize, usize) {
        (self.rank(), self.size())
    }

    fn all_gather_sized(&self, own: Vec<u8>, lengths: &[usize]) -> Vec<Vec<u8>> {
        let everyone = self.gather(own);
        assert_eq!(everyone.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
        everyone
    }

    fn exchange(&self, parts: Vec<Vec<u8>>, length: usize) -> Vec<Vec<u8>> {
        let everyone = self.member.local_gather(parts).unwrap();
        let own: Vec<Vec<u8>> = everyone.iter().map(|parts| parts[self.rank()].clone()).collect();
        assert!(own.iter().all(|part| part.len() == length));
        own
    }

    fn broadcast(&self, bytes: Option<Vec<u8>>) -> Vec<u8> {
        assert_eq!(bytes.is_some(), self.rank() == 0);
        self.gather(bytes.unwrap_or_default()).swap_remove(0)
    }

    fn abort(&self, _code: i32) {
        self.member.team().abort(None);
    }

    fn finish(&self) {}
}

/// What `work` gives in each of `count` processes.
pub(super) fn processes<T: Send>(count: usize, work: impl Fn(Job) -> T + Sync) -> Vec<T> {
    let team = WorkerGroup::new(count);
    let work = &work;
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..count)
            .map(|rank| {
                let job = Job::new(Arc::new(ThreadProcess { member: team.member(rank) }));
                scope.spawn(move || work(job))
            })
            .collect();
        started.into_iter().map(|process| process.join().unwrap()).collect()
    })
}

/// What `work` gives for each of the `devices` workers of a process of `job`.
fn workers<T: Send>(job: Job, devices: usize, work: impl Fn(Communicator) -> T + Sync) -> Vec<T> {
    let team = WorkerGroup::of_job(devices, job);
    let work = &work;
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..devices)
            .map(|rank| {
                let member = team.member(rank);
                scope.spawn(move || work(member))
            })
            .collect();
        started.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}

#[test]
fn values_of_all_workers_come_in_rank_order_in_every_process() {
    let everyone = processes(3, |job| {
        workers(job, 2, |member| {
            let rank = member.rank() as u64;
            // Of other lengths in every worker.
            let own = vec![rank; member.rank()];
            member.all_gather(own).unwrap().iter().map(|values| values.to_vec()).collect::<Vec<_>>()
        })
    });
    let expected: Vec<Vec<u64>> = (0..6).map(|rank| vec![rank; rank as usize]).collect();
    assert_eq!(everyone.concat(), vec![expected; 6]);
}

#[cfg(feature = "flex")]
mod collectives {
    use super::*;

    type B = burn_flex::Flex;

    /// Vectors of worker `rank`, one longer than a bucket, with sums that depend on their order.
    fn vectors(rank: usize) -> Vec<Tensor<B, 1>> {
        let vector = |length: usize| {
            let value = |i: usize| ((i * 7 + rank * 13) % 101) as f32 * 10f32.powi((rank % 3) as i32 * 3 - 4);
            let values = (0..length).map(value).collect::<Vec<_>>();
            Tensor::from_data(TensorData::new(values, [length]), &Default::default())
        };
        [5, (1 << 22) + 3, 1, 777].map(vector).to_vec()
    }

    fn mean(member: &Communicator) -> Vec<Vec<f32>> {
        let devices = vec![Default::default(); member.local_workers()];
        let means = collective_for::<B>(member, &devices).mean(vectors(member.rank())).unwrap();
        means.into_iter().map(host).collect()
    }

    #[test]
    fn means_over_processes_are_those_over_workers_bit_for_bit() {
        for count in [2, 4] {
            let expected = workers(Job::default(), count, |member| mean(&member));
            let found = processes(count, |job| workers(job, 1, |member| mean(&member)));
            for process in found.concat() {
                assert!(process == expected[0], "{count} processes");
            }
        }
    }

    #[test]
    fn two_devices_in_each_of_two_processes_agree_with_four_workers() {
        let expected = workers(Job::default(), 4, |member| mean(&member)).swap_remove(0).concat();
        let found = processes(2, |job| workers(job, 2, |member| mean(&member))).concat();
        assert!(found.iter().all(|other| *other == found[0]), "the same bits everywhere");
        let apart =
            found[0].concat().iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(1e-3)).fold(0.0, f32::max);
        assert!(apart < 1e-6, "off by {apart}");
    }

    #[test]
    fn bf16_rounds_to_eight_bits_and_to_the_same_ones_everywhere() {
        let exact = processes(3, |job| workers(job, 1, |member| mean(&member))).concat().swap_remove(0).concat();
        let found = processes(3, |job| {
            let job = job.with_format(ExchangeFormat::Bf16);
            let means = workers(job.clone(), 1, |member| mean(&member)).concat();
            (means, job.traffic().take().0)
        });
        assert!(found.iter().all(|(means, _)| *means == found[0].0));
        let apart = |(a, b): (&f32, &f32)| (a - b).abs() / b.abs().max(1e-3);
        let worst = found[0].0.concat().iter().zip(&exact).map(apart).fold(0.0, f32::max);
        assert!((1e-4..1.0 / 128.0).contains(&worst), "off by {worst}");
        // Two thirds go out in the sum, and two times a third in the means.
        let numbers = exact.len() as u64;
        assert!(found[0].1.abs_diff(2 * numbers * 4 / 3) < 100, "{} bytes for {numbers} numbers", found[0].1);
    }

    #[test]
    fn rows_are_gathered_by_rank() {
        let found = processes(2, |job| {
            workers(job, 2, |member| {
                let rank = member.rank() as f32;
                let rows = Tensor::<B, 2>::from_floats([[rank, 10.0 * rank]], &Default::default());
                host(collective_for::<B>(&member, &[Default::default(); 2]).gather(rows).unwrap())
            })
        });
        assert_eq!(found.concat(), vec![vec![0.0, 0.0, 1.0, 10.0, 2.0, 20.0, 3.0, 30.0]; 4]);
    }
}

#[test]
fn one_process_says_what_keeps_another_from_starting() {
    let failing = |broken: usize| {
        processes(3, |job| {
            let local = match job.rank() == broken {
                true => Err(Error::file("videos", "is not there", "check the path")),
                false => Ok(job.rank()),
            };
            job.agree(local, &[("seed", "7".into())]).map_err(|error| error.to_string())
        })
    };
    let elsewhere = || Err("process 0 says why".to_owned());
    for broken in [0, 2] {
        let said = Err(format!("process {broken}: videos: is not there; check the path"));
        assert_eq!(failing(broken), [said, elsewhere(), elsewhere()]);
    }
    assert_eq!(failing(9), [Ok(0), Ok(1), Ok(2)]);
    let seeds = processes(3, |job| {
        let seed = if job.rank() == 1 { "8" } else { "7" };
        job.agree(Ok(()), &[("preset", "a".into()), ("seed", seed.into())]).map_err(|error| error.to_string())
    });
    let message = seeds[0].clone().unwrap_err();
    assert!(message.starts_with("process 1: has another seed than process 0 (8 and 7); "), "{message}");
    assert!(seeds[1..].iter().all(|other| *other == Err("process 0 says why".to_owned())), "{seeds:?}");
}
