//! Line charts as inline SVG, coloured by the page around them.

use super::html::escape;
use super::scale::{Scale, label};
use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
/// Room for marks and names: left, top, right, bottom.
const MARGIN: [f64; 4] = [56.0, 36.0, 16.0, 44.0];
/// Okabe and Ito's colours, told apart by colour-blind readers too.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"];
/// More points than this in one line are thinned to the extremes of as many spans: a screen has no more columns.
const MOST_POINTS: usize = 1200;

/// Lines of no more points than this show each of them.
const DOTTED: usize = 12;
/// Entries of a legend in one row.
const LEGEND: usize = 3;
/// What a page's style sheet says of charts, for a file without a page.
const STYLE: &str = "text{fill:#1b1b1b;font:12px system-ui,sans-serif}.title{font-weight:600;font-size:14px}\
.grid{stroke:#8884;fill:none}.axis{stroke:#1b1b1b;fill:none}.rule{stroke:#1b1b1b;stroke-dasharray:4 4;fill:none}\
.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}";

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeriesStyle {
    Line,
    Dashes,
    Points,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    points: Vec<[f64; 2]>,
    mark: SeriesStyle,
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
    whole: bool,
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
            whole: false,
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
        self.whole = true;
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
        plot.axes(&mut svg, &x, self.whole);
        for (name, x) in self.moments.iter().filter(|vertical_rule| vertical_rule.1.is_finite()) {
            plot.vertical_rule(&mut svg, name, *x);
        }
        for (name, y) in self.rules.iter().filter(|rule| rule.1.is_finite()) {
            plot.rule(&mut svg, name, *y);
        }
        for (place, series) in self.series.iter().enumerate() {
            plot.series(&mut svg, place, series);
            if legend > 0 {
                key(&mut svg, place, series);
            }
        }
        svg + "</svg>\n"
    }
}

/// The two axes, and where values lie on the picture.
struct Plot {
    x: Scale,
    y: Scale,
}

impl Plot {
    fn at(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [left, top, right, bottom] = MARGIN;
        let across = left + self.x.place(x) * (WIDTH - left - right);
        [across, HEIGHT - bottom - self.y.place(y) * (HEIGHT - top - bottom)]
    }

    fn axes(&self, svg: &mut String, name: &str, whole: bool) {
        let [left, top, right, bottom] = MARGIN;
        let (floor, end) = (HEIGHT - bottom, WIDTH - right);
        for tick in self.y.ticks() {
            let (y, text) = (self.at([self.x.low, tick])[1], label(tick));
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{end}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{text}</text>",
                left - 6.0,
                y + 4.0,
            );
        }
        for tick in self.x.ticks().into_iter().filter(|tick| !whole || (tick - tick.round()).abs() < 1e-6) {
            let (x, y, text) = (self.at([tick, self.y.low])[0], floor + 16.0, label(tick));
            let _ = writeln!(svg, "<text class=\"tick\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>");
        }
        let below = floor + 34.0;
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{left} {top}V{floor}H{end}\"/><text class=\"tick\" x=\"{end}\" y=\"{below}\" \
             text-anchor=\"end\">{name}</text>",
        );
    }

    fn vertical_rule(&self, svg: &mut String, name: &str, x: f64) {
        let ([_, top, _, bottom], name) = (MARGIN, escape(name));
        let (x, floor) = (self.at([x, self.y.low])[0], HEIGHT - bottom);
        let _ = writeln!(
            svg,
            "<path class=\"vertical_rule\" d=\"M{x:.1} {top}V{floor}\"/><text class=\"tick note\" x=\"{:.1}\" y=\"{}\">{name}\
             </text>",
            x + 4.0,
            top - 4.0,
        );
    }

    fn rule(&self, svg: &mut String, name: &str, y: f64) {
        let ([left, _, right, _], name) = (MARGIN, escape(name));
        let (height, end) = (self.at([self.x.low, y])[1], WIDTH - right);
        let _ = writeln!(
            svg,
            "<path class=\"rule\" d=\"M{left} {height:.1}H{end}\"/><text class=\"tick\" x=\"{end}\" y=\"{:.1}\" \
             text-anchor=\"end\">{name}</text>",
            height - 3.0,
        );
    }

    fn series(&self, svg: &mut String, place: usize, series: &Series) {
        let (colour, name) = (COLOURS[place % COLOURS.len()], escape(&series.name));
        if series.mark != SeriesStyle::Points {
            let path = self.path(&series.points);
            let class = if series.mark == SeriesStyle::Dashes { "line dashes" } else { "line" };
            let _ =
                writeln!(svg, "<path class=\"{class}\" stroke=\"{colour}\" d=\"{path}\"><title>{name}</title></path>");
        }
        if series.mark == SeriesStyle::Points || series.points.len() <= DOTTED {
            for point in series.points.iter().filter(|point| finite(point)) {
                let ([x, y], [across, up]) = (self.at(*point), point.map(label));
                let _ = writeln!(
                    svg,
                    "<circle fill=\"{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"><title>{name}: {across}, \
                     {up}</title></circle>"
                );
            }
        }
    }

    /// `M`oves to a point after a gap, draws a `L`ine otherwise; a lone point gets a dot of zero length.
    fn path(&self, points: &[[f64; 2]]) -> String {
        let mut path = String::new();
        let mut drawn = false;
        for point in points {
            if !finite(point) {
                drawn = false;
                continue;
            }
            let [x, y] = self.at(*point);
            let _ = match drawn {
                true => write!(path, "L{x:.1} {y:.1}"),
                false => write!(path, "M{x:.1} {y:.1}h0"),
            };
            drawn = true;
        }
        path
    }
}

/// The entry of series number `place` in the legend.
fn key(svg: &mut String, place: usize, series: &Series) {
    let (colour, name) = (COLOURS[place % COLOURS.len()], escape(&series.name));
    let (x, y) = (MARGIN[0] + 190.0 * (place % LEGEND) as f64, HEIGHT + 18.0 * (place / LEGEND) as f64);
    let _ = writeln!(
        svg,
        "<rect fill=\"{colour}\" x=\"{x}\" y=\"{:.1}\" width=\"10\" height=\"10\"/><text class=\"tick\" x=\"{}\" \
         y=\"{}\">{name}</text>",
        y - 1.0,
        x + 16.0,
        y + 8.0,
    );
}

fn finite(point: &[f64; 2]) -> bool {
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
