use super::super::table_writer::TableWriter;
use super::*;
use svitt_ops::rng::Rng;

const DIM: usize = 7;
const ROWS: usize = 150;

fn vectors() -> VectorTable {
    let (mut table, mut rng) = (VectorTable::in_memory(DIM), Rng::new(1, &[]));
    for _ in 0..ROWS {
        table.push(&(0..DIM).map(|_| rng.between(-0.5, 0.5) as f32).collect::<Vec<_>>());
    }
    table
}

fn written(path: &Path, precision: VectorPrecision, from: &VectorTable) -> TableShape {
    let shape = TableShape { precision, dim: DIM, rows: ROWS };
    let mut writer = TableWriter::create(path.to_path_buf(), shape).unwrap();
    (0..ROWS).for_each(|row| writer.copy(from, row).unwrap());
    writer.finish().unwrap();
    shape
}

#[test]
fn tables_read_back_as_finely_as_they_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let memory = vectors();
    for (precision, most) in
        [(VectorPrecision::F32, 0.0), (VectorPrecision::F16, 2.5e-4), (VectorPrecision::Int8, 2e-3)]
    {
        let path = dir.path().join(precision.name());
        let shape = written(&path, precision, &memory);
        let (table, damage) = VectorTable::open(&path, shape).unwrap();
        assert_eq!((damage.bytes, damage.blocks.len(), damage.present), (0, 0, ROWS));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), shape.length());
        assert_eq!(shape.head() % ALIGNMENT, 0);
        for row in 0..ROWS {
            let (found, exact) = (table.vector(row), memory.vector(row));
            assert!(found.iter().zip(&exact).all(|(a, b)| (a - b).abs() <= most), "{precision}: {found:?}, {exact:?}");
        }
        // Stored alike, rows are copied to the bit: 8-bit ones are not rounded again.
        let copy = dir.path().join(format!("{precision}-copy"));
        written(&copy, precision, &table);
        assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(&path).unwrap());
    }
}

#[test]
fn every_flipped_bit_is_told_and_costs_one_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.vec");
    for precision in VectorPrecision::ALL {
        let _ = std::fs::remove_file(&path);
        let shape = written(&path, precision, &vectors());
        let whole = std::fs::read(&path).unwrap();
        let head = shape.head() as usize;
        let zeros = shape.scales_at() as usize + precision.scale_bytes() * ROWS;
        for at in (0..zeros + 9).chain([head - 1]).chain((head..whole.len()).step_by(13)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            std::fs::write(&path, bytes).unwrap();
            let damage = VectorTable::open(&path, shape).unwrap().1;
            let is_lost = (MAGIC.len()..zeros).contains(&at) || at >= head;
            assert_eq!((damage.blocks.len(), damage.bytes > 0), (usize::from(is_lost), true), "byte {at}");
            if at >= head {
                let row = (at - head) / shape.stride();
                assert!(damage.concerns(row..row + 1) && !damage.concerns((row + BLOCK) % ROWS..(row + BLOCK) % ROWS));
                assert_eq!(damage.blocks, [row / BLOCK]);
            }
        }
        for cut in [0, 5, 100, head - 1, head, head + 3 * shape.stride() + 1, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (table, damage) = VectorTable::open(&path, shape).unwrap();
            let present = cut.saturating_sub(head) / shape.stride();
            assert_eq!((damage.present, table.present()), (present, present), "cut at {cut}");
            assert!(damage.bytes > 0 && damage.concerns(present..present + 1) && table.vector(present).is_empty());
        }
    }
}

#[test]
fn a_file_that_claims_more_than_any_disk_holds_is_read_as_far_as_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.vec");
    written(&path, VectorPrecision::F32, &vectors());
    let shape = TableShape { precision: VectorPrecision::Int8, dim: 1_000_000, rows: 1 << 36 };
    let (table, damage) = VectorTable::open(&path, shape).unwrap();
    assert_eq!((table.present(), damage.blocks.len()), (0, 0));
    assert!(damage.bytes > 1 << 55);
}
