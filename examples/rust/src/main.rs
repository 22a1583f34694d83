//! Protocol 1 on stdin and stdout; or, with `vectors FOLDER`, the published test vectors in a runner of one's own.
//! In both, `--bug` plants a bug.

mod json;
mod net;

use json::Json;
use std::io::{self, BufRead, Write};
use std::{env, fs, process};

const CAPABILITIES: &str = r#"{"id":0,"name":"Rust example","activations":["identity","sigmoid","tanh","relu","leaky_relu","softplus","softmax"],"losses":["half_squared_error","squared_error","binary_cross_entropy","binary_cross_entropy_from_logits","softmax_cross_entropy","softmax_cross_entropy_from_logits"],"dtypes":["float64"]}"#;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let bug = arguments.iter().any(|a| a == "--bug");
    match arguments.first().map(String::as_str) {
        Some("vectors") => process::exit(vectors(&arguments[1], bug)),
        _ => speak(bug),
    }
}

fn speak(bug: bool) {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let request = Json::parse(&line).expect("a request is JSON");
        if request.get("hello").is_null() {
            writeln!(out, "{}", net::answer(&request, bug)).unwrap();
        } else {
            writeln!(out, "{CAPABILITIES}").unwrap();
        }
        out.flush().unwrap();
    }
}

fn vectors(folder: &str, bug: bool) -> i32 {
    let (mut passed, mut failed) = (0, 0);
    let mut names: Option<Vec<String>> = None; // faults that explain every failure so far
    for entry in fs::read_dir(folder).expect("a folder of vectors").flatten() {
        let path = entry.path();
        if path.extension().map_or(true, |e| e != "json") || path.ends_with("schema.json") {
            continue;
        }
        let whole = Json::parse(&fs::read_to_string(&path).unwrap()).expect("vectors are JSON");
        for group in whole.get("groups").list().iter().filter(|g| g.get("dtype").text() == "float64") {
            for test in group.get("tests").list() {
                let got = net::answer(test.get("request"), bug);
                if right(&got, test.get("expected")) {
                    passed += 1;
                    continue;
                }
                failed += 1;
                let here: Vec<String> = (test.get("faults").list().iter())
                    .filter(|fault| explained(&got, fault, group.get("nearby").number()))
                    .flat_map(|fault| fault.get("names").list().iter().map(|name| name.text().to_string()))
                    .collect();
                names = Some(match names {
                    None => here,
                    Some(before) => before.into_iter().filter(|name| here.contains(name)).collect(),
                });
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    match names {
        None => 0,
        Some(known) if known.is_empty() => { println!("no known fault explains all of it"); 1 }
        Some(known) => { println!("all of it is explained by: {}", known.join(", ")); 1 }
    }
}

fn right(got: &Json, expected: &Json) -> bool {
    let loss = vec![vec![got.get("loss").number()]];
    let layers = |kind: &str| -> bool {
        expected.get(kind).list().iter().zip(got.get(kind).list()).all(|(layer, ours)| {
            inside(&ours.get("weights").rows(), layer.get("weights"))
                && (layer.get("biases").is_null() || inside(&[ours.get("biases").numbers()], layer.get("biases")))
        })
    };
    inside(&got.get("outputs").rows(), expected.get("outputs"))
        && inside(&loss, expected.get("loss"))
        && layers("gradients")
        && layers("updated")
}

fn inside(rows: &[Vec<f64>], expected: &Json) -> bool {
    let (lo, hi) = (expected.get("lo").rows(), expected.get("hi").rows());
    let tolerance = expected.get("tolerance").rows(); // null is NaN here
    !rows.is_empty() && rows.iter().enumerate().all(|(i, row)| {
        row.iter().enumerate().all(|(j, x)| {
            let t = tolerance[i][j];
            t.is_nan() || (lo[i][j] - t <= *x && *x <= hi[i][j] + t) // false for NaN
        })
    })
}

/// Whether the numbers are those of a known fault
fn explained(got: &Json, fault: &Json, nearby: f64) -> bool {
    let kind = if fault.get("gradients").is_null() { "updated" } else { "gradients" };
    fault.get(kind).list().iter().zip(got.get(kind).list()).all(|(wanted, ours)| {
        let weights = (wanted.get("weights").rows().concat(), ours.get("weights").rows().concat());
        let biases = (wanted.get("biases").numbers(), ours.get("biases").numbers());
        [weights, biases].iter().all(|(w, o)| {
            let largest = w.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            w.iter().zip(o).all(|(a, b)| (a - b).abs() <= nearby * largest)
        })
    })
}
