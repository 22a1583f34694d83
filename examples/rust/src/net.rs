//! A small feed-forward network: forward pass and backpropagation, in f64.

use crate::json::{object, row, rows, Json};

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x))
}

fn softmax(z: &[f64]) -> Vec<f64> {
    let powers: Vec<f64> = z.iter().map(|x| (x - largest(z)).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|p| p / total).collect()
}

/// a = f(z)
fn activate(name: &str, z: &[f64]) -> Result<Vec<f64>, String> {
    let f: fn(f64) -> f64 = match name {
        "identity" => |z| z,
        "sigmoid" => sigmoid,
        "tanh" => f64::tanh,
        "relu" => |z| z.max(0.0),
        "leaky_relu" => |z| if z > 0.0 { z } else { z / 100.0 },
        "softplus" => softplus,
        "softmax" => return Ok(softmax(z)),
        _ => return Err(format!("activation {name} is not implemented")),
    };
    Ok(z.iter().map(|x| f(*x)).collect())
}

/// δ = ∂E/∂z from ∂E/∂a
fn delta(name: &str, z: &[f64], a: &[f64], error: &[f64]) -> Vec<f64> {
    let shared: f64 = error.iter().zip(a).map(|(e, s)| e * s).sum();
    (0..z.len())
        .map(|i| match name {
            "sigmoid" => error[i] * a[i] * (1.0 - a[i]),
            "tanh" => error[i] * (1.0 - a[i] * a[i]),
            "relu" => if z[i] > 0.0 { error[i] } else { 0.0 },
            "leaky_relu" => if z[i] > 0.0 { error[i] } else { error[i] / 100.0 },
            "softplus" => error[i] * sigmoid(z[i]),
            "softmax" => a[i] * (error[i] - shared),
            _ => error[i],
        })
        .collect()
}

/// E of one sample, and ∂E/∂o
fn differ(loss: &str, o: &[f64], t: &[f64]) -> Result<(f64, Vec<f64>), String> {
    let highest = largest(o);
    let log_sum = o.iter().map(|x| (x - highest).exp()).sum::<f64>().ln();
    let probabilities = softmax(o);
    let mut total = 0.0;
    let mut error = vec![0.0; o.len()];
    for i in 0..o.len() {
        let d = o[i] - t[i];
        let (e, slope) = match loss {
            "half_squared_error" => (d * d / 2.0, d),
            "squared_error" => (d * d, 2.0 * d),
            "binary_cross_entropy" => (
                -(t[i] * o[i].ln() + (1.0 - t[i]) * (-o[i]).ln_1p()),
                d / (o[i] * (1.0 - o[i])),
            ),
            "binary_cross_entropy_from_logits" => (softplus(o[i]) - t[i] * o[i], sigmoid(o[i]) - t[i]),
            "softmax_cross_entropy" => (-t[i] * o[i].ln(), -t[i] / o[i]),
            "softmax_cross_entropy_from_logits" => (-t[i] * (o[i] - highest - log_sum), probabilities[i] - t[i]),
            _ => return Err(format!("loss {loss} is not implemented")),
        };
        total += e;
        error[i] = slope;
    }
    Ok((total, error))
}

struct Layer<'a> {
    weights: Vec<Vec<f64>>,
    biases: Option<Vec<f64>>,
    activation: &'a str,
    weight_sums: Vec<Vec<f64>>,
    bias_sums: Vec<f64>,
}

/// The answer to a request of protocol 1. bug: the hidden delta lacks the activation's derivative.
pub fn answer(request: &Json, bug: bool) -> Json {
    let id = request.get("id").clone();
    match compute(request, bug) {
        Ok(mut members) => {
            members.push(("id", id));
            object(members)
        }
        Err(problem) => object(vec![("id", id), ("error", Json::Text(problem))]),
    }
}

fn compute(request: &Json, bug: bool) -> Result<Vec<(&'static str, Json)>, String> {
    if request.get("dtype").text() != "float64" {
        return Err("only float64 is implemented".to_string());
    }
    let mut layers: Vec<Layer> = request
        .get("layers")
        .list()
        .iter()
        .map(|given| {
            let weights = given.get("weights").rows();
            Layer {
                weight_sums: weights.iter().map(|r| vec![0.0; r.len()]).collect(),
                bias_sums: vec![0.0; weights.len()],
                biases: if given.get("biases").is_null() { None } else { Some(given.get("biases").numbers()) },
                activation: given.get("activation").text(),
                weights,
            }
        })
        .collect();
    let inputs = request.get("inputs").rows();
    let targets = request.get("targets").rows();
    let scale = if request.get("reduction").text() == "mean" { 1.0 / inputs.len() as f64 } else { 1.0 };

    let mut loss = 0.0;
    let mut outputs = Vec::new();
    for (sample, target) in inputs.iter().zip(&targets) {
        let mut a = vec![sample.clone()];
        let mut z: Vec<Vec<f64>> = Vec::new();
        for layer in &layers {
            let received = &a[a.len() - 1];
            let sums: Vec<f64> = (0..layer.weights.len())
                .map(|i| {
                    let products: f64 = layer.weights[i].iter().zip(received).map(|(w, x)| w * x).sum();
                    products + layer.biases.as_ref().map_or(0.0, |b| b[i])
                })
                .collect();
            a.push(activate(layer.activation, &sums)?);
            z.push(sums);
        }
        outputs.push(a[layers.len()].clone());
        let (of_sample, mut error) = differ(request.get("loss").text(), &a[layers.len()], target)?;
        loss += of_sample;
        let last = layers.len() - 1;
        for k in (0..layers.len()).rev() {
            let layer = &mut layers[k];
            let d = if bug && k < last { error } else { delta(layer.activation, &z[k], &a[k + 1], &error) };
            error = vec![0.0; a[k].len()];
            for i in 0..d.len() {
                layer.bias_sums[i] += d[i] * scale;
                for j in 0..a[k].len() {
                    layer.weight_sums[i][j] += d[i] * a[k][j] * scale;
                    error[j] += layer.weights[i][j] * d[i];
                }
            }
        }
    }

    let gradient = |layer: &Layer| parameters(layer.weight_sums.clone(), layer.biases.as_ref().map(|_| layer.bias_sums.clone()));
    let mut members = vec![
        ("outputs", rows(&outputs)),
        ("loss", Json::Number(loss * scale)),
        ("gradients", Json::List(layers.iter().map(gradient).collect())),
    ];
    if !request.get("learning_rate").is_null() {
        let rate = request.get("learning_rate").number();
        let step = |old: &[f64], g: &[f64]| -> Vec<f64> { old.iter().zip(g).map(|(w, d)| w - rate * d).collect() };
        let updated = |layer: &Layer| {
            parameters(
                layer.weights.iter().zip(&layer.weight_sums).map(|(w, g)| step(w, g)).collect(),
                layer.biases.as_ref().map(|b| step(b, &layer.bias_sums)),
            )
        };
        members.push(("updated", Json::List(layers.iter().map(updated).collect())));
    }
    Ok(members)
}

fn parameters(weights: Vec<Vec<f64>>, biases: Option<Vec<f64>>) -> Json {
    object(vec![("weights", rows(&weights)), ("biases", biases.map_or(Json::Null, |b| row(&b)))])
}
