//! A plot of lines over time, as SVG.
//!
//! Axes with units, ticks at round numbers, a legend; colours come from the page's style, so that
//! one plot serves light and dark. What is absent is a gap, not a zero.

use std::fmt::Write as _;

/// A plot.
pub struct Plot<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What one reads from it, for those who do not see it.
    pub about: &'a str,
    /// Lines, at most five.
    pub lines: Vec<Line<'a>>,
    /// A value as people read it.
    pub format: fn(f64) -> String,
    /// Of which ticks are round multiples: 1, or a mebibyte.
    pub unit: f64,
    /// Powers of ten are equally far apart; else it begins at 0.
    pub logarithmic: bool,
}

/// A line of a plot.
pub struct Line<'a> {
    /// For the legend.
    pub name: &'a str,
    /// Drawn thin and broken: what was asked, not what came.
    pub dashed: bool,
    /// Seconds and values, in order of time.
    pub points: Vec<(f64, Option<f64>)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 42.0;

/// Where values go.
struct Scale {
    from: f64,
    to: f64,
    unit: f64,
    logarithmic: bool,
}

impl Scale {
    fn of(plot: &Plot<'_>) -> Self {
        let values = plot.lines.iter().flat_map(|line| line.points.iter().filter_map(|p| p.1));
        let values = values.filter(|v| v.is_finite());
        if plot.logarithmic {
            let positive = values.filter(|v| *v > 0.0);
            let (least, most) = positive.fold((f64::MAX, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
            if most == 0.0 {
                return Self { from: 1e-3, to: 1.0, unit: 1.0, logarithmic: true };
            }
            let (from, to) = (least.log10().floor(), (most * 1.0001).log10().ceil());
            let (from, to) = (10f64.powf(from), 10f64.powf(to));
            return Self { from, to, unit: 1.0, logarithmic: true };
        }
        let most = values.fold(0.0, f64::max);
        let to = if most > 0.0 { most * 1.05 } else { 1.0 };
        Self { from: 0.0, to, unit: plot.unit, logarithmic: false }
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let ticks = ticks(self.to / self.unit, 5.0);
            return ticks.into_iter().map(|tick| tick * self.unit).collect();
        }
        let decades = (self.to / self.from).log10().round() as i32;
        let step = usize::try_from(decades / 6 + 1).unwrap_or(1);
        (0..=decades).step_by(step).map(|power| self.from * 10f64.powi(power)).collect()
    }
}

/// Round numbers from 0 to this, about so many.
fn ticks(to: f64, about: f64) -> Vec<f64> {
    let rough = to / about;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(rough);
    (0..).map(|n| f64::from(n) * step).take_while(|tick| *tick <= to * 1.0001).collect()
}

/// As SVG.
pub fn draw(plot: &Plot<'_>) -> String {
    let mut svg = String::new();
    let end = plot.lines.iter().flat_map(|l| l.points.last()).map(|p| p.0).fold(0.001, f64::max);
    let x = |at: f64| LEFT + at / end * (WIDTH - LEFT - RIGHT);
    let scale = Scale::of(plot);
    // A string takes all that is written to it.
    writeln!(
        svg,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"18\">{}</text>",
        escape(plot.about),
        escape(plot.title)
    )
    .ok();
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for tick in scale.ticks() {
        let y = scale.y(tick);
        let label = escape(&(plot.format)(tick));
        let at = y + 4.0;
        writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{at:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0
        )
        .ok();
    }
    for tick in ticks(end, 8.0) {
        let at = x(tick);
        writeln!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>",
            bottom + 16.0
        )
        .ok();
    }
    writeln!(
        svg,
        "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\
         <line class=\"axis\" x1=\"{LEFT}\" y1=\"{TOP}\" x2=\"{LEFT}\" y2=\"{bottom}\"/>\
         <text class=\"tick\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">time, seconds</text>",
        HEIGHT - 8.0
    )
    .ok();
    for (number, line) in plot.lines.iter().enumerate() {
        draw_line(&mut svg, line, number, &scale, &x);
    }
    legend(&mut svg, &plot.lines);
    svg.push_str("</svg>\n");
    svg
}

fn draw_line(
    svg: &mut String,
    line: &Line<'_>,
    number: usize,
    scale: &Scale,
    x: &impl Fn(f64) -> f64,
) {
    let (mut path, mut pen_down) = (String::new(), false);
    for (at, value) in &line.points {
        let Some(value) = value.filter(|v| v.is_finite()) else {
            pen_down = false;
            continue;
        };
        let command = if pen_down { 'L' } else { 'M' };
        write!(path, "{command}{:.1} {:.1}", x(*at), scale.y(value)).ok();
        if !pen_down {
            // A lone point is seen as a dot.
            path.push_str("h0.1");
        }
        pen_down = true;
    }
    let dashed = if line.dashed { " dashed" } else { "" };
    writeln!(svg, "<path class=\"line c{number}{dashed}\" d=\"{path}\"/>").ok();
}

/// From the right, so that it keeps clear of the title.
fn legend(svg: &mut String, lines: &[Line<'_>]) {
    if lines.len() < 2 {
        return;
    }
    let mut right = WIDTH - RIGHT;
    for (number, line) in lines.iter().enumerate().rev() {
        let width = line.name.chars().count() as f64 * 6.6;
        let dashed = if line.dashed { " dashed" } else { "" };
        let (text, from, to) = (right - width, right - width - 24.0, right - width - 6.0);
        writeln!(
            svg,
            "<line class=\"line c{number}{dashed}\" x1=\"{from:.1}\" y1=\"14\" x2=\"{to:.1}\" \
             y2=\"14\"/><text class=\"tick\" x=\"{text:.1}\" y=\"18\">{}</text>",
            escape(line.name)
        )
        .ok();
        right = from - 14.0;
    }
}

/// For text and attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(60.0, 8.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(ticks(1.05, 5.0), [0.0, 0.5, 1.0]);
        for to in [0.003, 7.0, 1234.0, 9.9e8] {
            assert!((2..=11).contains(&ticks(to, 5.0).len()), "{to}");
        }
    }

    #[test]
    fn absent_values_are_gaps_and_text_is_escaped() {
        let points = vec![(1.0, Some(1.0)), (2.0, None), (3.0, Some(2.0)), (4.0, Some(4.0))];
        let line = Line { name: "a<b", dashed: false, points };
        let other = Line { name: "c", dashed: true, points: Vec::new() };
        let (title, about) = ("t & u", "x");
        let format = units::short;
        let lines = vec![line, other];
        let svg = draw(&Plot { title, about, lines, format, unit: 1.0, logarithmic: false });
        assert_eq!(svg.matches("h0.1").count(), 2);
        assert!(svg.contains("t &amp; u") && svg.contains("a&lt;b"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn nothing_measured_is_still_a_plot() {
        for logarithmic in [false, true] {
            let line = Line { name: "a", dashed: false, points: vec![(1.0, None)] };
            let lines = vec![line];
            let format = units::seconds;
            let svg = draw(&Plot { title: "t", about: "x", lines, format, unit: 1.0, logarithmic });
            assert!(svg.contains("</svg>") && !svg.contains("NaN"));
        }
    }
}
