//! Average precision, with equal scores as one step of the ranking, so that no order within them decides.

/// The average precision of `scores`, of which those at `right` are; 0 where none is. A ranking of equal scores has the
/// share of right ones.
pub fn average_precision(scores: &[f32], right: &[bool]) -> f64 {
    let all = right.iter().filter(|right| **right).count();
    let mut order: Vec<usize> = (0..scores.len().min(right.len())).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut seen, mut hits, mut sum) = (0, 0, 0.0);
    for step in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let found = step.iter().filter(|&&at| right[at]).count();
        (seen, hits) = (seen + step.len(), hits + found);
        sum += found as f64 * hits as f64 / seen as f64;
    }
    sum / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_averaged_over_right_ones() {
        // Right at ranks 1 and 3: (1 + 2/3) / 2.
        let ap = average_precision(&[0.9, 0.8, 0.7, 0.1], &[true, false, true, false]);
        assert!((ap - 5.0 / 6.0).abs() < 1e-12, "{ap}");
        assert_eq!(average_precision(&[0.5; 4], &[false, true, false, false]), 0.25, "one step of equal scores");
        assert_eq!(average_precision(&[0.1, 0.2], &[true, true]), 1.0);
        assert_eq!(average_precision(&[0.1], &[false]), 0.0);
    }
}
