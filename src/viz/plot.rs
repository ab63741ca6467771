//! The inside of a chart: axes, rules, series and legend as SVG elements.

use super::chart::{Series, SeriesStyle, finite};
use super::html::escape;
use super::scale::{Scale, label};
use std::fmt::Write as _;

pub(super) const WIDTH: f64 = 640.0;
pub(super) const HEIGHT: f64 = 300.0;
/// Room for marks and names: left, top, right, bottom.
pub(super) const MARGIN: [f64; 4] = [56.0, 36.0, 16.0, 44.0];
/// Okabe and Ito's colours, told apart by colour-blind readers too.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"];
/// Lines of no more points than this show each of them.
const DOTTED: usize = 12;
/// Entries of a legend in one row.
pub(super) const LEGEND: usize = 3;

/// The two axes, and where values lie on the picture.
pub(super) struct Plot {
    pub x: Scale,
    pub y: Scale,
}

impl Plot {
    fn at(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [left, top, right, bottom] = MARGIN;
        let across = left + self.x.place(x) * (WIDTH - left - right);
        [across, HEIGHT - bottom - self.y.place(y) * (HEIGHT - top - bottom)]
    }

    pub fn axes(&self, svg: &mut String, name: &str, whole: bool) {
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

    pub fn vertical_rule(&self, svg: &mut String, name: &str, x: f64) {
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

    pub fn horizontal_rule(&self, svg: &mut String, name: &str, y: f64) {
        let ([left, _, right, _], name) = (MARGIN, escape(name));
        let (height, end) = (self.at([self.x.low, y])[1], WIDTH - right);
        let _ = writeln!(
            svg,
            "<path class=\"rule\" d=\"M{left} {height:.1}H{end}\"/><text class=\"tick\" x=\"{end}\" y=\"{:.1}\" \
             text-anchor=\"end\">{name}</text>",
            height - 3.0,
        );
    }

    pub fn series(&self, svg: &mut String, place: usize, series: &Series) {
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
pub(super) fn legend_entry(svg: &mut String, place: usize, series: &Series) {
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
