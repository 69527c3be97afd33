//! Dictionaries of structured fields (RFC 8941 section 3.2), borrowed from the header they stand in.
//!
//! Members and parameters that occur twice are all handed out, in their order: RFC 8941 lets the last one win, and a
//! signature must not depend on which of two a reader takes. What is unknown is still held to the grammar.

/// The digits an integer can have (RFC 8941 section 3.3.1).
const INTEGER_DIGITS_MAX: usize = 15;
/// The digits a decimal can have before and after its point (RFC 8941 section 3.3.2).
const DECIMAL_DIGITS_MAX: (usize, usize) = (12, 3);

/// One `key=value;parameters` of a dictionary.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) key: &'a str,
    pub(super) value: Value<'a>,
    pub(super) parameters: Vec<Parameter<'a>>,
}

/// What a member stands for.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Item(Item<'a>),
    InnerList(Vec<(Item<'a>, Vec<Parameter<'a>>)>),
}

/// A parameter and its value.
pub(super) type Parameter<'a> = (&'a str, Item<'a>);

/// A bare item (RFC 8941 section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Integer(i64),
    /// Held to the grammar and not kept: nothing signed has one.
    Decimal,
    /// Between the quotes, escapes as they are. There is one way to escape, so this is also how it is written again.
    String(&'a str),
    Token(&'a str),
    /// Between the colons: base64, its alphabet checked and not yet decoded.
    Bytes(&'a str),
    Boolean(bool),
}

/// The text is no dictionary.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadDictionary;

type Parsed<T> = Result<T, BadDictionary>;

/// All members in their order; none when the text is empty (RFC 8941 section 4.2.2).
pub(super) fn dictionary(text: &str) -> Parsed<Vec<Member<'_>>> {
    let mut reader = Reader { rest: text.trim_matches(' ') };
    let mut members = Vec::new();
    while !reader.rest.is_empty() {
        members.push(reader.member()?);
        reader.skip(b" \t");
        if reader.rest.is_empty() {
            break;
        }
        reader.expect(',')?;
        reader.skip(b" \t");
        if reader.rest.is_empty() {
            return Err(BadDictionary);
        }
    }
    Ok(members)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn member(&mut self) -> Parsed<Member<'a>> {
        let key = self.key()?;
        let value = match (self.take('='), self.rest.starts_with('(')) {
            (false, _) => Value::Item(Item::Boolean(true)),
            (true, false) => Value::Item(self.item()?),
            (true, true) => Value::InnerList(self.inner_list()?),
        };
        Ok(Member { key, value, parameters: self.parameters()? })
    }

    /// RFC 8941 section 4.2.1.2: items apart by spaces.
    fn inner_list(&mut self) -> Parsed<Vec<(Item<'a>, Vec<Parameter<'a>>)>> {
        self.expect('(')?;
        let mut items = Vec::new();
        loop {
            self.skip(b" ");
            if self.take(')') {
                return Ok(items);
            }
            items.push((self.item()?, self.parameters()?));
            if !self.rest.starts_with([' ', ')']) {
                return Err(BadDictionary);
            }
        }
    }

    fn parameters(&mut self) -> Parsed<Vec<Parameter<'a>>> {
        let mut parameters = Vec::new();
        while self.take(';') {
            self.skip(b" ");
            let key = self.key()?;
            let value = if self.take('=') { self.item()? } else { Item::Boolean(true) };
            parameters.push((key, value));
        }
        Ok(parameters)
    }

    fn key(&mut self) -> Parsed<&'a str> {
        if !matches!(self.rest.as_bytes().first(), Some(b'a'..=b'z' | b'*')) {
            return Err(BadDictionary);
        }
        Ok(self.take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
    }

    fn item(&mut self) -> Parsed<Item<'a>> {
        match self.rest.as_bytes().first().ok_or(BadDictionary)? {
            b'"' => self.string(),
            b':' => self.bytes(),
            b'?' => self.boolean(),
            b'-' | b'0'..=b'9' => self.number(),
            b'A'..=b'Z' | b'a'..=b'z' | b'*' => Ok(Item::Token(self.take_while(is_token))),
            _ => Err(BadDictionary),
        }
    }

    /// RFC 8941 section 4.2.5: printable ASCII, where only `"` and `\` are and must be escaped.
    fn string(&mut self) -> Parsed<Item<'a>> {
        self.expect('"')?;
        let text = self.rest;
        let mut bytes = text.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.rest = text.get(at + 1..).ok_or(BadDictionary)?;
                    return text.get(..at).map(Item::String).ok_or(BadDictionary);
                }
                b'\\' if !matches!(bytes.next(), Some((_, b'"' | b'\\'))) => return Err(BadDictionary),
                b' '..=b'~' => {}
                _ => return Err(BadDictionary),
            }
        }
        Err(BadDictionary)
    }

    fn bytes(&mut self) -> Parsed<Item<'a>> {
        self.expect(':')?;
        let base64 =
            self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        self.expect(':')?;
        Ok(Item::Bytes(base64))
    }

    fn boolean(&mut self) -> Parsed<Item<'a>> {
        self.expect('?')?;
        let value = self.take('1');
        if !value {
            self.expect('0')?;
        }
        Ok(Item::Boolean(value))
    }

    /// RFC 8941 section 4.2.4.
    fn number(&mut self) -> Parsed<Item<'a>> {
        let sign = if self.take('-') { -1 } else { 1 };
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if self.take('.') {
            let fraction = self.take_while(|byte| byte.is_ascii_digit());
            let fits = (1..=DECIMAL_DIGITS_MAX.0).contains(&digits.len())
                && (1..=DECIMAL_DIGITS_MAX.1).contains(&fraction.len());
            return if fits { Ok(Item::Decimal) } else { Err(BadDictionary) };
        }
        if digits.len() > INTEGER_DIGITS_MAX {
            return Err(BadDictionary);
        }
        digits.parse().map(|number: i64| Item::Integer(sign * number)).map_err(|_| BadDictionary)
    }

    /// Takes bytes that fit, all of them ASCII.
    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !fits(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, signs: &[u8]) {
        self.take_while(|byte| signs.contains(&byte));
    }

    fn take(&mut self, sign: char) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, sign: char) -> Parsed<()> {
        if self.take(sign) { Ok(()) } else { Err(BadDictionary) }
    }
}

/// The characters of a token behind its first (RFC 8941 section 3.3.4).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_grammar_has_no_place_for_is_refused() {
        for text in [
            "a=1,",
            ",a=1",
            "a=1,,b=2",
            "a=1 b=2",
            "A=1",
            "1=1",
            "a=",
            "a =1",
            "a= 1",
            "\ta=1",
            "a=(1",
            "a=(1,2)",
            "a=(1\t2)",
            "a=(\"x\"\"y\")",
            "a=((1))",
            "a;=1",
            "a; ",
            "a=1 ;b",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"é\"",
            "a=\"x\ny\"",
            "a=\"\\\"",
            "a=:AA",
            "a=:A A:",
            "a=:A-_A:",
            "a=?2",
            "a=?",
            "a=--1",
            "a=-",
            "a=1234567890123456",
            "a=1.",
            "a=.5",
            "a=1.2345",
            "a=1234567890123.1",
            "a=@1",
            "a=%\"x\"",
            "a=é",
            "a=1\n",
            "a=1\0",
        ] {
            assert_eq!(dictionary(text).err(), Some(BadDictionary), "{text:?}");
        }
    }

    #[test]
    fn every_kind_of_item_is_read() {
        let text =
            r#"  a=-015, b="x\"\\y";p;q=?0 ,	c=tok/en:1;*x.y-z_1=1.5,d=:AA==:, e, f=( "x"  y;z=1 ) , g=()  "#;
        let members = dictionary(text).unwrap();
        let keys: Vec<_> = members.iter().map(|member| member.key).collect();
        assert_eq!(keys, ["a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(members[1].parameters, [("p", Item::Boolean(true)), ("q", Item::Boolean(false))]);
        assert_eq!(members[2].parameters, [("*x.y-z_1", Item::Decimal)]);
        let items: Vec<_> = members.iter().filter_map(item).collect();
        let string = Item::String(r#"x\"\\y"#);
        let (bytes, token) = (Item::Bytes("AA=="), Item::Token("tok/en:1"));
        assert_eq!(items, [Item::Integer(-15), string, token, bytes, Item::Boolean(true)]);
        let Value::InnerList(list) = &members[5].value else { panic!("a list") };
        let inner = [(Item::String("x"), vec![]), (Item::Token("y"), vec![("z", Item::Integer(1))])];
        assert_eq!(list[..], inner);
        assert!(matches!(&members[6].value, Value::InnerList(list) if list.is_empty()));
    }

    #[test]
    fn nothing_is_an_empty_dictionary() {
        assert!(dictionary("").unwrap().is_empty());
        assert!(dictionary("  ").unwrap().is_empty());
    }

    fn item<'a>(member: &Member<'a>) -> Option<Item<'a>> {
        match member.value {
            Value::Item(item) => Some(item),
            Value::InnerList(_) => None,
        }
    }
}
