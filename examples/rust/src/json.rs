//! The little of JSON that the protocol and the vectors need.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Debug)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

use Json::{Bool, List, Null, Number, Object, Text};

impl Json {
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut parser = Parser { text: text.as_bytes(), at: 0 };
        let value = parser.value()?;
        parser.space();
        if parser.at == text.len() { Ok(value) } else { Err(format!("more text at {}", parser.at)) }
    }

    pub fn get(&self, key: &str) -> &Json {
        match self {
            Object(members) => members.get(key).unwrap_or(&Null),
            _ => &Null,
        }
    }

    pub fn list(&self) -> &[Json] {
        if let List(items) = self { items } else { &[] }
    }

    pub fn text(&self) -> &str {
        if let Text(text) = self { text } else { "" }
    }

    pub fn number(&self) -> f64 {
        if let Number(x) = self { *x } else { f64::NAN }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Null)
    }

    pub fn numbers(&self) -> Vec<f64> {
        self.list().iter().map(Json::number).collect()
    }

    pub fn rows(&self) -> Vec<Vec<f64>> {
        self.list().iter().map(Json::numbers).collect()
    }
}

pub fn row(numbers: &[f64]) -> Json {
    List(numbers.iter().map(|x| Number(*x)).collect())
}

pub fn rows(numbers: &[Vec<f64>]) -> Json {
    List(numbers.iter().map(|r| row(r)).collect())
}

pub fn object(members: Vec<(&str, Json)>) -> Json {
    Object(members.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Null => write!(out, "null"),
            Bool(value) => write!(out, "{value}"),
            // {:?} is the shortest decimal that gives the bits back; JSON has no word for what is not finite
            Number(x) if x.is_nan() => write!(out, "\"NaN\""),
            Number(x) if x.is_infinite() => write!(out, "\"{}Infinity\"", if *x < 0.0 { "-" } else { "" }),
            Number(x) => write!(out, "{x:?}"),
            Text(text) => write!(out, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            List(items) => {
                write!(out, "[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if i > 0 { "," } else { "" })?;
                }
                write!(out, "]")
            }
            Object(members) => {
                write!(out, "{{")?;
                for (i, (key, value)) in members.iter().enumerate() {
                    write!(out, "{}\"{key}\":{value}", if i > 0 { "," } else { "" })?;
                }
                write!(out, "}}")
            }
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn space(&mut self) {
        while self.at < self.text.len() && self.text[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, String> {
        self.space();
        self.text.get(self.at).copied().ok_or_else(|| "it ends too early".to_string())
    }

    fn expect(&mut self, what: u8) -> Result<(), String> {
        if self.next()? == what {
            self.at += 1;
            return Ok(());
        }
        Err(format!("expected {:?} at {}", what as char, self.at))
    }

    fn value(&mut self) -> Result<Json, String> {
        match self.next()? {
            b'{' => self.object(),
            b'[' => self.list(),
            b'"' => Ok(Text(self.string()?)),
            _ => self.word(),
        }
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut members = BTreeMap::new();
        self.expect(b'{')?;
        while self.next()? != b'}' {
            let key = self.string()?;
            self.expect(b':')?;
            members.insert(key, self.value()?);
            if self.next()? != b'}' {
                self.expect(b',')?;
            }
        }
        self.at += 1;
        Ok(Object(members))
    }

    fn list(&mut self) -> Result<Json, String> {
        let mut items = Vec::new();
        self.expect(b'[')?;
        while self.next()? != b']' {
            items.push(self.value()?);
            if self.next()? != b']' {
                self.expect(b',')?;
            }
        }
        self.at += 1;
        Ok(List(items))
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect(b'"')?;
        let mut bytes = Vec::new();
        loop {
            let c = *self.text.get(self.at).ok_or("a string without an end")?;
            self.at += 1;
            match c {
                b'"' => return String::from_utf8(bytes).map_err(|e| e.to_string()),
                b'\\' => {
                    let escaped = *self.text.get(self.at).ok_or("a string without an end")?;
                    self.at += 1;
                    bytes.push(match escaped {
                        b'n' => b'\n',
                        b't' => b'\t',
                        b'u' => {
                            self.at += 4; // no key or name that is used here needs it
                            b'?'
                        }
                        other => other,
                    });
                }
                other => bytes.push(other),
            }
        }
    }

    fn word(&mut self) -> Result<Json, String> {
        let start = self.at;
        while self.at < self.text.len() && !b",]} \n\r\t".contains(&self.text[self.at]) {
            self.at += 1;
        }
        let word = std::str::from_utf8(&self.text[start..self.at]).map_err(|e| e.to_string())?;
        match word {
            "null" => Ok(Null),
            "true" => Ok(Bool(true)),
            "false" => Ok(Bool(false)),
            digits => digits.parse().map(Number).map_err(|_| format!("{digits:?} at {start} is no number")),
        }
    }
}
