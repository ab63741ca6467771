//! Interpolating cubic splines with not-a-knot ends, as a matrix from samples to values.
//!
//! FITPACK's interpolating spline (`regrid` without smoothing, behind scipy's `interp2d(kind="cubic")`) leaves out the
//! second and the last but one knot, which is the not-a-knot spline; outside the samples it repeats the border value.

/// The matrix `A [targets, samples]` with which `A·z` are the values at `targets` of the spline through `(x, z)`.
///
/// `x` ascends. Three samples give a parabola, two a line, one a constant.
pub fn spline_matrix(x: &[f64], targets: &[f64]) -> Vec<Vec<f64>> {
    let curvature = curvature(x);
    targets.iter().map(|&target| weights(x, &curvature, target)).collect()
}

/// The weight of each sample in the value at `target`.
fn weights(x: &[f64], curvature: &[Vec<f64>], target: f64) -> Vec<f64> {
    let last = x.len() - 1;
    let target = target.clamp(x[0], x[last]);
    let right = x.iter().position(|&knot| knot >= target).unwrap_or(last).max(1);
    if last == 0 {
        return vec![1.0];
    }
    let (left, h) = (right - 1, x[right] - x[right - 1]);
    let (a, b) = ((x[right] - target) / h, (target - x[left]) / h);
    let (ca, cb) = ((a.powi(3) - a) * h * h / 6.0, (b.powi(3) - b) * h * h / 6.0);
    let mut weights: Vec<f64> = curvature[left].iter().zip(&curvature[right]).map(|(l, r)| ca * l + cb * r).collect();
    weights[left] += a;
    weights[right] += b;
    weights
}

/// The matrix from samples to second derivatives at the samples.
fn curvature(x: &[f64]) -> Vec<Vec<f64>> {
    let n = x.len();
    let h = |i: usize| x[i + 1] - x[i];
    if n < 3 {
        return vec![vec![0.0; n]; n];
    }
    let (mut system, mut samples) = (vec![vec![0.0; n]; n], vec![vec![0.0; n]; n]);
    for i in 1..n - 1 {
        system[i][i - 1..=i + 1].copy_from_slice(&[h(i - 1), 2.0 * (h(i - 1) + h(i)), h(i)]);
        let (before, after) = (6.0 / h(i - 1), 6.0 / h(i));
        samples[i][i - 1..=i + 1].copy_from_slice(&[before, -before - after, after]);
    }
    if n == 3 {
        system[0][..2].copy_from_slice(&[1.0, -1.0]);
        system[2][1..].copy_from_slice(&[1.0, -1.0]);
    } else {
        system[0][..3].copy_from_slice(&[h(1), -h(0) - h(1), h(0)]);
        system[n - 1][n - 3..].copy_from_slice(&[h(n - 2), -h(n - 3) - h(n - 2), h(n - 3)]);
    }
    solve(system, samples)
}

/// `X` with `a·X = b`, by elimination with partial pivoting; `a` is square and regular.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let n = a.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs())).unwrap_or(column);
        a.swap(column, pivot);
        b.swap(column, pivot);
        for row in (0..n).filter(|&row| row != column) {
            let factor = a[row][column] / a[column][column];
            if factor != 0.0 {
                subtract(&mut a, row, column, factor);
                subtract(&mut b, row, column, factor);
            }
        }
    }
    for (row, values) in b.iter_mut().enumerate() {
        values.iter_mut().for_each(|value| *value /= a[row][row]);
    }
    b
}

/// Takes `factor` times row `source` from row `target`.
fn subtract(matrix: &mut [Vec<f64>], target: usize, source: usize, factor: f64) {
    let row = matrix[source].clone();
    matrix[target].iter_mut().zip(row).for_each(|(value, other)| *value -= factor * other);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: &[f64], f: impl Fn(f64) -> f64, target: f64) -> f64 {
        spline_matrix(x, &[target])[0].iter().zip(x).map(|(w, &x)| w * f(x)).sum()
    }

    #[test]
    fn cubics_are_reproduced_and_borders_repeated() {
        let x = [-4.3, -2.0, -1.0, 0.5, 1.0, 3.7];
        let cubic = |x: f64| 0.3 * x.powi(3) - x * x + 2.0 * x - 5.0;
        for target in [-4.3, -3.1, 0.0, 0.5, 3.6, 3.7] {
            assert!((at(&x, cubic, target) - cubic(target)).abs() < 1e-9);
        }
        assert!((at(&x, cubic, 9.0) - cubic(3.7)).abs() < 1e-9);
        assert!((at(&x[..4], cubic, 0.1) - cubic(0.1)).abs() < 1e-9);
    }

    #[test]
    fn few_samples_give_polynomials_of_lower_degree() {
        let parabola = |x: f64| x * x - 3.0 * x;
        assert!((at(&[-1.5, 0.0, 2.0], parabola, 1.2) - parabola(1.2)).abs() < 1e-12);
        assert!((at(&[1.0, 3.0], |x| 2.0 * x, 2.5) - 5.0).abs() < 1e-12);
        assert_eq!(at(&[0.0], |_| 7.0, 3.0), 7.0);
    }
}
