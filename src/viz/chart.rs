//! Line charts as inline SVG, coloured by the page around them.

use super::html::escape;
use super::plot::{HEIGHT, LEGEND, MARGIN, Plot, WIDTH, legend_entry};
use super::scale::Scale;

/// More points than this in one line are thinned to the extremes of as many spans: a screen has no more columns.
const MOST_POINTS: usize = 1200;

/// What a page's style sheet says of charts, for a file without a page.
const STYLE: &str = "text{fill:#1b1b1b;font:12px system-ui,sans-serif}.title{font-weight:600;font-size:14px}\
.grid{stroke:#8884;fill:none}.axis{stroke:#1b1b1b;fill:none}.rule{stroke:#1b1b1b;stroke-dasharray:4 4;fill:none}\
.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}";

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeriesStyle {
    Line,
    Dashes,
    Points,
}

#[derive(Clone, Debug)]
pub(super) struct Series {
    pub name: String,
    pub points: Vec<[f64; 2]>,
    pub mark: SeriesStyle,
}

/// A chart of lines, points and horizontal rules over two linear axes.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    axes: [String; 2],
    series: Vec<Series>,
    rules: Vec<(String, f64)>,
    moments: Vec<(String, f64)>,
    from_zero: bool,
    integer_ticks: bool,
}

impl Chart {
    /// An empty chart with the names of its axes.
    pub fn new(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            axes: [x.into(), y.into()],
            series: Vec::new(),
            rules: Vec::new(),
            moments: Vec::new(),
            from_zero: false,
            integer_ticks: false,
        }
    }

    /// Adds a line through `[x, y]` points in the order given; a point that is not finite interrupts it.
    #[must_use]
    pub fn line(self, name: impl Into<String>, points: impl IntoIterator<Item = [f64; 2]>) -> Self {
        self.add(name.into(), points.into_iter().collect(), SeriesStyle::Line)
    }

    /// Adds a dashed line, for limits and comparisons.
    #[must_use]
    pub fn dashes(self, name: impl Into<String>, points: impl IntoIterator<Item = [f64; 2]>) -> Self {
        self.add(name.into(), points.into_iter().collect(), SeriesStyle::Dashes)
    }

    /// Adds separate points.
    #[must_use]
    pub fn points(self, name: impl Into<String>, points: impl IntoIterator<Item = [f64; 2]>) -> Self {
        self.add(name.into(), points.into_iter().collect(), SeriesStyle::Points)
    }

    fn add(mut self, name: String, points: Vec<[f64; 2]>, mark: SeriesStyle) -> Self {
        let points = if mark == SeriesStyle::Points { points } else { thinned(points) };
        self.series.push(Series { name, points, mark });
        self
    }

    /// Begins the vertical axis at 0, so that heights can be compared.
    #[must_use]
    pub fn from_zero(mut self) -> Self {
        self.from_zero = true;
        self
    }

    /// Marks whole numbers alone on the horizontal axis: stages, layers.
    #[must_use]
    pub fn integer_ticks(mut self) -> Self {
        self.integer_ticks = true;
        self
    }

    /// Adds a vertical line at `x`, such as the start of a stage.
    #[must_use]
    pub fn vertical_rule(mut self, name: impl Into<String>, x: f64) -> Self {
        self.moments.push((name.into(), x));
        self
    }

    /// Adds a dashed horizontal rule at height `y`, such as a ceiling.
    #[must_use]
    pub fn horizontal_rule(mut self, name: impl Into<String>, y: f64) -> Self {
        self.rules.push((name.into(), y));
        self
    }

    /// Whether nothing finite was added.
    pub fn is_empty(&self) -> bool {
        !self.series.iter().flat_map(|series| &series.points).any(finite)
    }

    /// The chart as a file of its own, with the size and the colours that a page would give it.
    pub fn file(&self) -> String {
        let styled = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" class=\"chart\"");
        let svg = self.svg().replacen("<svg class=\"chart\"", &styled, 1);
        let (head, rest) = svg.split_once('\n').unwrap_or((&svg, ""));
        format!("{head}\n<style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{rest}")
    }

    /// The chart as an `<svg>` element. A single series needs no legend: the title says what it is.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|point| finite(point));
        let zero = self.from_zero.then_some(0.0);
        let heights = points().map(|p| p[1]).chain(self.rules.iter().map(|rule| rule.1)).chain(zero);
        let plot = Plot { x: Scale::over(points().map(|point| point[0])), y: Scale::over(heights).rounded() };
        let [title, x, y] = [&self.title, &self.axes[0], &self.axes[1]].map(|name| escape(name));
        let legend = if self.series.len() > 1 { self.series.len().div_ceil(LEGEND) } else { 0 };
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{title}\">\n<text x=\"{}\" \
             y=\"16\" class=\"title\">{title}<tspan class=\"unit\" dx=\"8\">{y}</tspan></text>\n",
            HEIGHT + 18.0 * legend as f64 + 4.0,
            MARGIN[0],
        );
        plot.axes(&mut svg, &x, self.integer_ticks);
        for (name, x) in self.moments.iter().filter(|vertical_rule| vertical_rule.1.is_finite()) {
            plot.vertical_rule(&mut svg, name, *x);
        }
        for (name, y) in self.rules.iter().filter(|rule| rule.1.is_finite()) {
            plot.horizontal_rule(&mut svg, name, *y);
        }
        for (place, series) in self.series.iter().enumerate() {
            plot.series(&mut svg, place, series);
            if legend > 0 {
                legend_entry(&mut svg, place, series);
            }
        }
        svg + "</svg>\n"
    }
}

pub(super) fn finite(point: &[f64; 2]) -> bool {
    point.iter().all(|value| value.is_finite())
}

/// At most [`MOST_POINTS`] points: of every span of neighbours, the lowest and the highest, in their order.
fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let span = (2 * points.len()).div_ceil(MOST_POINTS);
    points.chunks(span).flat_map(extremes).collect()
}

/// The lowest and the highest finite point of `chunk`, or its first point when none is finite.
fn extremes(chunk: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let known = || chunk.iter().copied().filter(finite);
    let low = known().min_by(|a, b| a[1].total_cmp(&b[1]));
    let high = known().max_by(|a, b| a[1].total_cmp(&b[1]));
    match (low, high) {
        (Some(low), Some(high)) if low[0] <= high[0] => vec![low, high],
        (Some(low), Some(high)) => vec![high, low],
        _ => chunk.iter().copied().take(1).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_gaps_and_names_are_escaped() {
        let svg = Chart::new("loss <b>", "step", "nats")
            .line("a & b", [[0.0, 1.0], [1.0, 2.0], [2.0, f64::NAN], [3.0, 0.5], [4.0, 1.5]])
            .horizontal_rule("ceiling", 1.25)
            .svg();
        assert_eq!(svg.matches('L').count(), 2, "{svg}");
        assert!(svg.contains("loss &lt;b&gt;") && svg.contains("a &amp; b") && svg.contains("ceiling"));
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn whole_axes_and_stages_are_marked() {
        let svg = Chart::new("tokens", "layer", "")
            .line("order", [[0.0, 128.0], [1.0, 103.0]])
            .dashes("ceiling", [[0.0, 50.0], [1.0, 50.0]])
            .vertical_rule("stage 2", 0.5)
            .from_zero()
            .integer_ticks()
            .svg();
        assert!(svg.contains(">0</text>") && svg.contains(">1</text>") && !svg.contains(">0.5</text>"), "{svg}");
        assert!(svg.contains("class=\"line dashes\"") && svg.contains(">stage 2</text>"));
        assert_eq!((svg.matches("<circle").count(), svg.matches("<rect").count()), (4, 2));
        let alone = Chart::new("lr", "step", "").line("lr", (0..13).map(|n| [f64::from(n), 0.1])).svg();
        assert!(!alone.contains("<rect") && !alone.contains("<circle"), "{alone}");
    }

    #[test]
    fn an_empty_chart_still_draws_its_axes() {
        let chart = Chart::new("nothing", "x", "y").line("none", [[f64::NAN, 1.0]]);
        assert!(chart.is_empty());
        assert!(chart.svg().contains("class=\"axis\"") && !chart.svg().contains("NaN"));
    }

    #[test]
    fn long_lines_keep_their_peaks() {
        let spike = |n: usize| if n == 77_777 { 9.0 } else { (n % 3) as f64 };
        let points = thinned((0..100_003).map(|n| [n as f64, spike(n)]).collect());
        assert!(points.len() <= MOST_POINTS, "{}", points.len());
        assert!(points.contains(&[77_777.0, 9.0]));
        assert!(points.windows(2).all(|pair| pair[0][0] <= pair[1][0]));
    }
}
