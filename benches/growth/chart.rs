//! The curves as JSON, and as a picture that is read on white and on black.

use serde_json::{Value, json};

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// How large what grows was.
    pub(crate) at: usize,
    pub(crate) value: f64,
    /// To what was measured by turns with it.
    pub(crate) ratio: f64,
}

/// Figures over what grows.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    /// What grows.
    pub(crate) name: &'static str,
    /// What is shown.
    pub(crate) unit: &'static str,
    pub(crate) points: Vec<Point>,
    /// Those that must be alike.
    pub(crate) judged: Vec<Point>,
}

impl Curve {
    pub(crate) fn new(name: &'static str, unit: &'static str, points: Vec<Point>) -> Self {
        Self { name, unit, judged: points.clone(), points }
    }

    /// How many times as much as the least the most is.
    pub(crate) fn spread(&self) -> f64 {
        let ratios = || self.judged.iter().map(|point| point.ratio);
        ratios().fold(f64::MIN, f64::max) / ratios().fold(f64::MAX, f64::min)
    }

    fn most(&self) -> f64 {
        self.points.iter().map(|point| point.value).fold(0.0, f64::max)
    }
}

pub(crate) fn json(curves: &[Curve], fills: &Curve) -> String {
    let points = |curve: &Curve| -> Vec<Value> {
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        let point = |point: &Point| json!({"at": point.at, "value": rounded(point.value), "ratio": rounded(point.ratio)});
        curve.points.iter().map(point).collect()
    };
    let curve = |curve: &Curve| json!({"over": curve.name, "unit": curve.unit, "points": points(curve)});
    let all: Vec<Value> = curves.iter().chain([fills]).map(curve).collect();
    format!("{:#}\n", Value::from(all))
}

const WIDTH: f64 = 148.0;
const HEIGHT: f64 = 92.0;
const LEFT: f64 = 12.0;
const TOP: f64 = 44.0;
const GAP: f64 = 20.0;

/// One frame beside the other; all that show the same unit have one scale.
pub(crate) fn svg(curves: &[Curve], fills: &Curve) -> String {
    let most = curves.iter().map(Curve::most).fold(0.0, f64::max) * 1.25;
    let frames: String = curves
        .iter()
        .map(|curve| (curve, most))
        .chain([(fills, fills.most() * 1.25)])
        .enumerate()
        .map(|(place, (curve, most))| frame(curve, most, LEFT + place as f64 * (WIDTH + GAP)))
        .collect();
    let width = LEFT + (curves.len() + 1) as f64 * (WIDTH + GAP) - GAP + LEFT;
    let height = TOP + HEIGHT + 28.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"What a hit takes while everything around it grows\">\n\
         <style>\n\
         text{{font:11px system-ui,sans-serif;fill:#57606a}} .name{{font-weight:600;fill:#1f2328}}\n\
         .axis{{stroke:#d0d7de;fill:none}} .line{{stroke:#0969da;stroke-width:2;fill:none}} .dot{{fill:#0969da}}\n\
         @media(prefers-color-scheme:dark){{text{{fill:#9198a1}} .name{{fill:#f0f6fc}} .axis{{stroke:#3d444d}} \
         .line{{stroke:#4493f8}} .dot{{fill:#4493f8}}}}\n\
         </style>\n{frames}</svg>\n"
    )
}

fn frame(curve: &Curve, most: f64, left: f64) -> String {
    let count = curve.points.len().max(2) - 1;
    let bottom = TOP + HEIGHT;
    let place = |index: usize| left + 8.0 + (WIDTH - 16.0) * index as f64 / count as f64;
    let level = |value: f64| bottom - HEIGHT * value / most.max(f64::MIN_POSITIVE);
    let spots: Vec<(f64, f64, &Point)> = curve
        .points
        .iter()
        .enumerate()
        .map(|(index, point)| (place(index), level(point.value), point))
        .collect();
    let line: Vec<String> = spots.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
    let dots: String = spots.iter().map(|(x, y, point)| dot(*x, *y, bottom, point)).collect();
    format!(
        "<g><text class=\"name\" x=\"{left}\" y=\"14\">{}</text><text x=\"{left}\" y=\"29\">{}</text>\
         <path class=\"axis\" d=\"M{left} {TOP}V{bottom}H{}\"/>\
         <polyline class=\"line\" points=\"{}\"/>{dots}</g>\n",
        curve.name,
        curve.unit,
        left + WIDTH,
        line.join(" ")
    )
}

/// A figure with its value above it and what it belongs to below.
fn dot(x: f64, y: f64, bottom: f64, point: &Point) -> String {
    let value =
        if point.value < 10.0 { format!("{:.1}", point.value) } else { format!("{:.0}", point.value) };
    format!(
        "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>\
         <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>\
         <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        y - 7.0,
        bottom + 15.0,
        short(point.at)
    )
}

fn short(at: usize) -> String {
    if at >= 1_000 { format!("{}k", at / 1_000) } else { at.to_string() }
}
