//! Compiles a call: its URL and headers, and with the body, login, signature and TLS the whole.
//!
//! In: a `CallSpec`. Out: a `Call`; or problems at their places.

use super::super::array_wrap::ArrayWrap;
use super::super::auth::Auth;
use super::super::call::{Body, Call};
use super::super::diagnostic::FilePlace;
use super::super::rule::Instead;
use super::super::settings::Egress;
use super::super::spec::{CallSpec, HeaderSpec};
use super::super::yaml::Node;
use super::Compiler;
use super::actions::TemplatePart;
use super::null_places::{HeldForm, Holder};
use crate::pattern::TablePatterns;
use crate::template::{AllowedHosts, BodyTemplate, EnvLookup, TextTemplate, UrlTemplate};

impl Compiler<'_> {
    /// `default_body` is what is sent where the rule doesn't say.
    pub(super) fn call(&mut self, spec: &CallSpec, default_body: Body, rule: &str) -> Option<Call> {
        let url = self.url(spec);
        let mut headers = Vec::new();
        let mut complete = true;
        for HeaderSpec { name, at, value } in &spec.headers {
            match self.header(name, value, *at) {
                Some(template) => headers.push((name.clone(), template)),
                None => complete = false,
            }
        }
        let body = self.call_body(spec, default_body);
        let auth = self.secretly(spec.auth, Self::auth);
        if let Some(Some(Auth::Query(key))) = &auth {
            self.refuse_key_twice(key, spec.url);
        }
        let sign = self.secretly(spec.sign, Self::sign);
        let tls = self.tls(spec.tls, spec.insecure_tls);
        if let (Some(url), Some(auth), Some(Some(_)), Some(node)) = (&url, &auth, &tls, spec.tls.or(spec.insecure_tls))
        {
            self.without_tls(url, auth.as_ref(), node);
        }
        let part = std::mem::replace(&mut self.part, TemplatePart::Answer);
        let success_when = match spec.success_when {
            Some(node) => self.condition(node, rule).map(Some),
            None => Some(None),
        };
        self.part = part;
        let url = url?;
        let mut settings = spec.settings.clone();
        if url.chooses_host() {
            settings.egress = Egress::PublicOnly;
        }
        let item_line = match spec.item_line {
            Some(node) => Some(self.body(node, Holder::LINE)?),
            None => None,
        };
        let array_wrap = match spec.array_wrap {
            Some(node) => Some(self.array_wrap(node)?),
            None => None,
        };
        let (body, auth, sign, tls, success_when) = (body?, auth?, sign?, tls?, success_when?);
        let url_at = spec.url.at;
        let hides_body = body.uses_env()
            || item_line.as_ref().is_some_and(BodyTemplate::uses_env)
            || array_wrap.as_ref().is_some_and(ArrayWrap::uses_env);
        let call = Call {
            url,
            url_at,
            headers,
            body,
            item_line,
            array_wrap,
            hides_body,
            auth,
            sign,
            tls,
            success_when,
            settings,
        };
        complete.then_some(call)
    }

    /// One request stands for many rows, so that only its body may tell them apart.
    pub(super) fn refuse_reading_rows(&mut self, written: &CallSpec, call: &Call, key: &str, tables: &TablePatterns) {
        let headers = written.headers.iter().zip(&call.headers);
        let headers = headers.map(|(written, (name, template))| {
            (format!("header `{name}`"), written.value, template.names_read().to_vec())
        });
        let url = ("the URL".to_string(), written.url, call.url.names_read().to_vec());
        let wrap = written.array_wrap.map_or(Vec::new(), |node| self.reads_of_wrap(node));
        let wrap = wrap.into_iter().map(|(node, names)| ("`wrap`".to_string(), node, names));
        for (what, node, names) in std::iter::once(url).chain(headers).chain(wrap) {
            for read in names {
                if ["schema", "table"].contains(&read.name.as_str()) && tables.name_one_table() {
                    continue;
                }
                let at = node.place_within(self.reader.text, read.line, read.column);
                let message = format!(
                    "{what} reads `{}`, but with `{}` one request stands for many rows; move it into `body`",
                    read.name, key
                );
                self.reader.problem(at, message);
            }
        }
    }

    fn url(&mut self, spec: &CallSpec) -> Option<UrlTemplate> {
        let node = spec.url;
        let source = self.reader.string(node, "url")?;
        let env: EnvLookup = &|name| self.outside.variable(name);
        let url = match &spec.allow_hosts {
            None => UrlTemplate::compile(source, env),
            Some((patterns, at)) => {
                let place = at.within(self.reader.path);
                UrlTemplate::compile_allowing(source, AllowedHosts::new(patterns.clone(), place), env)
            }
        };
        let url = self.flaws(node, url)?;
        self.reads_saga(node, url.saga_reads())?;
        self.uses(node, url.columns());
        self.nulls_of(node, url.null_reads().iter(), url.old_reads(), "`url`", Instead::Filled);
        Some(url)
    }

    fn header(&mut self, name: &str, node: &Node, at: FilePlace) -> Option<TextTemplate> {
        let name = format!("header `{name}`");
        let holder = Holder { name: &name, form: HeldForm::Text };
        let template = self.text_by(node, TextTemplate::compile_optional, holder)?;
        if template.literal().is_some_and(|text| text.chars().any(char::is_control)) {
            self.reader.problem(at, "a header's value can't hold line breaks or control characters");
            return None;
        }
        Some(template)
    }
}
