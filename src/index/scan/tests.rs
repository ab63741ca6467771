use super::super::table::TableShape;
use super::super::table_writer::TableWriter;
use super::*;
use svitt_ops::rng::Rng;

fn random(rng: &mut Rng, dim: usize) -> Vec<f32> {
    let vector: Vec<f32> = (0..dim).map(|_| rng.normal() as f32).collect();
    super::super::entry::normalised(&vector).unwrap()
}

fn exact(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// `rows` random unit vectors in a table of `precision`, and the same as they were.
fn table(precision: VectorPrecision, rows: usize, dim: usize) -> (VectorTable, Vec<Vec<f32>>, tempfile::TempDir) {
    let (mut memory, mut rng) = (VectorTable::in_memory(dim), Rng::new(9, &[]));
    let vectors: Vec<Vec<f32>> = (0..rows).map(|_| random(&mut rng, dim)).collect();
    for vector in &vectors {
        memory.push(vector);
    }
    let dir = tempfile::tempdir().unwrap();
    let shape = TableShape { precision, dim, rows };
    let path = dir.path().join("a.vec");
    let mut writer = TableWriter::create(path.clone(), shape).unwrap();
    (0..rows).for_each(|row| writer.copy(&memory, row).unwrap());
    writer.finish().unwrap();
    (VectorTable::open(&path, shape).unwrap().0, vectors, dir)
}

#[test]
fn every_precision_scores_as_its_numbers_say_at_any_width() {
    for dim in [1, 5, 31, 32, 33, 225, 2049] {
        let query = random(&mut Rng::new(dim as u64, &[]), dim);
        // A query's own rounding: half a step of 2047, over all numbers.
        let rounding = 0.5 / 2047.0 * (dim as f32).sqrt() * query.iter().fold(0f32, |most, x| most.max(x.abs()));
        for (precision, most) in
            [(VectorPrecision::F32, 2e-6), (VectorPrecision::F16, 2e-6), (VectorPrecision::Int8, rounding + 2e-6)]
        {
            let (table, _, _dir) = table(precision, 300, dim);
            let queries = [query.clone()];
            let found = Scan::new(&queries, false, 300).run(std::slice::from_ref(&table), &[vec![0; 300]]);
            assert_eq!(found.len(), 300);
            for row in found {
                let expected = exact(&table.vector(row.row), &query) as f32;
                assert!((row.score - expected).abs() <= most, "{precision}, {dim}: {} for {expected}", row.score);
            }
        }
    }
}

#[test]
fn eight_bits_find_what_single_precision_finds() {
    let (rows, dim) = (10_000, 64);
    let (table, vectors, _dir) = table(VectorPrecision::Int8, rows, dim);
    let mut rng = Rng::new(77, &[]);
    let mut found = 0;
    for _ in 0..30 {
        let queries = [random(&mut rng, dim)];
        let mut best: Vec<(f64, usize)> =
            vectors.iter().enumerate().map(|(row, vector)| (exact(vector, &queries[0]), row)).collect();
        best.sort_by(|a, b| b.0.total_cmp(&a.0));
        let hits = Scan::new(&queries, false, 10).run(std::slice::from_ref(&table), &[vec![0; rows]]);
        found += hits.iter().filter(|row| best[..10].iter().any(|best| best.1 == row.row)).count();
    }
    assert!(found >= 294, "{found} of 300");
}

#[test]
fn ties_are_broken_by_file_and_time_and_rows_of_nobody_are_left_out() {
    let mut table = VectorTable::in_memory(2);
    for row in 0..10_000 {
        table.push(&[0.6, if row % 2 == 0 { 0.8 } else { -0.8 }]);
    }
    let owners: Vec<u32> = (0..10_000u32).map(|row| if row % 3 == 0 { NOBODY } else { 9_999 - row }).collect();
    let queries = [vec![0.0, 1.0]];
    let hits = Scan::new(&queries, false, 3).run(&[table], &[owners]);
    let places: Vec<(usize, u32)> = hits.iter().map(|hit| (hit.row, hit.file)).collect();
    assert_eq!(places, [(9_998, 1), (9_994, 5), (9_992, 7)]);
}
