//! One operation of the document, as its parts add to it.

use rocket::http::Status;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::http::problem::Problem;

/// What a handler takes: the argument `name` says which part of the request it reads, and how it
/// may be refused.
///
/// ```text
/// impl Input for IfMatch {
///     fn describe(_: &str, operation: &mut Operation<'_>) {
///         operation.header::<String>("If-Match", "Only if the batch is still at this version.");
///         operation.problem("The batch is at another version.", &Problem::plain(Status::PreconditionFailed));
///     }
/// }
/// ```
pub(in crate::http) trait Input {
    fn describe(name: &str, operation: &mut Operation<'_>);
}

/// What a handler answers: each of its statuses, with the body.
pub(in crate::http) trait Output {
    fn describe(operation: &mut Operation<'_>);
}

impl<T: Output, E: Output> Output for Result<T, E> {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
        E::describe(operation);
    }
}

/// An operation in the making.
pub(in crate::http) struct Operation<'a> {
    input: &'a mut SchemaGenerator,
    output: &'a mut SchemaGenerator,
    members: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
}

impl<'a> Operation<'a> {
    pub(super) fn new(input: &'a mut SchemaGenerator, output: &'a mut SchemaGenerator) -> Self {
        Self { input, output, members: Map::new(), parameters: Vec::new(), responses: Map::new() }
    }

    pub(super) fn finish(mut self) -> Value {
        if !self.parameters.is_empty() {
            self.set("parameters", self.parameters.clone());
        }
        self.set("responses", self.responses.clone());
        self.members.into()
    }

    fn set(&mut self, member: &str, value: impl Into<Value>) {
        self.members.insert(member.to_owned(), value.into());
    }

    /// Takes the name of a handler and its `///`: the first paragraph is the summary, the rest the
    /// description.
    pub(in crate::http) fn prose(&mut self, handler: &str, lines: &[&str]) {
        let text = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n");
        let (summary, description) = text.split_once("\n\n").unwrap_or((&text, ""));
        self.set("operationId", camel_case(handler));
        self.set("summary", summary.replace('\n', " "));
        if !description.is_empty() {
            self.set("description", description);
        }
    }

    pub(super) fn belongs_to(&mut self, tag: &str) {
        self.set("tags", vec![tag]);
    }

    /// Only who shows what the security scheme of this name wants is served.
    pub(super) fn asks_for(&mut self, scheme: &str) {
        self.set("security", json!([{ scheme: [] }]));
        self.problem("The credentials are missing, or not valid.", &Problem::unauthorized());
        self.problem("The credentials are valid, but do not allow this.", &Problem::forbidden());
    }

    /// Reads the parameter `name` of the path.
    pub(in crate::http) fn path<T: JsonSchema>(&mut self, name: &str, what: &str) {
        let schema = self.input.subschema_for::<T>().to_value();
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": what, "schema": schema,
        }));
    }

    /// Reads the fields of `T` from the query. None of them has to be there.
    pub(in crate::http) fn query<T: JsonSchema>(&mut self) {
        // The fields only: the form as a whole is no schema of the document.
        let mut form = T::json_schema(self.input).to_value();
        for (name, schema) in form["properties"].as_object_mut().into_iter().flatten() {
            let mut schema = never_null(schema.take());
            let what = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            self.parameters.push(json!({ "name": name, "in": "query", "description": what, "schema": schema }));
        }
    }

    /// Reads a header, which need not be there.
    pub(in crate::http) fn header<T: JsonSchema>(&mut self, name: &str, what: &str) {
        let schema = self.input.subschema_for::<T>().to_value();
        self.parameters.push(json!({ "name": name, "in": "header", "description": what, "schema": schema }));
    }

    /// Reads a JSON body, which has to be there.
    pub(in crate::http) fn body<T: JsonSchema>(&mut self) {
        let schema = self.input.subschema_for::<T>();
        self.set("requestBody", json!({ "required": true, "content": { "application/json": { "schema": schema } } }));
    }

    /// Answers with this status and a JSON body.
    pub(in crate::http) fn json_response<T: JsonSchema>(&mut self, status: Status, what: &str) {
        let schema = self.output.subschema_for::<T>();
        let response = self.response(status, what);
        response["content"]["application/json"]["schema"] = schema.to_value();
    }

    /// Answers with a header whenever the status is this one.
    pub(in crate::http) fn response_header(&mut self, status: Status, name: &str, what: &str, schema: Value) {
        self.response_header_at_times(status, name, what, schema);
        self.response(status, "")["headers"][name]["required"] = true.into();
    }

    /// Answers with a header in some of the cases of this status.
    pub(in crate::http) fn response_header_at_times(&mut self, status: Status, name: &str, what: &str, schema: Value) {
        self.response(status, "")["headers"][name] = json!({ "description": what, "schema": schema });
    }

    /// Answers with a problem document like `sample`. A status may be answered for several reasons.
    pub(in crate::http) fn problem(&mut self, what: &str, sample: &Problem) {
        let schema = self.output.subschema_for::<Problem>();
        let response = self.response(sample.status(), what);
        let content = &mut response["content"]["application/problem+json"];
        content["schema"] = schema.to_value();
        let example = sample.title().to_lowercase().replace(' ', "-");
        content["examples"][example] = json!({ "summary": what, "value": sample });
        if let Some(header) = Problem::header(sample.status()) {
            self.response_header(sample.status(), header.name, header.what, json!({ "type": header.kind }));
        }
    }

    /// The response of a status, with one more sentence about when it is given.
    fn response(&mut self, status: Status, what: &str) -> &mut Value {
        let response = self.responses.entry(status.code.to_string()).or_insert_with(|| json!({ "description": "" }));
        let before = response["description"].as_str().unwrap_or_default();
        if !before.contains(what) {
            response["description"] = format!("{before} {what}").trim().into();
        }
        response
    }
}

/// `getBatch` for `get_batch`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

/// The schema of what may be left out, but can't be null, since nothing in a query is.
fn never_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema["type"].as_array() {
        schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let choice = choices.iter().find(|choice| choice["type"] != "null").cloned().unwrap_or_default();
        let members = schema.as_object_mut().expect("a schema with a choice is an object");
        members.remove("anyOf");
        members.extend(choice.as_object().cloned().unwrap_or_default());
    }
    schema
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;

    use super::*;

    fn described(describe: impl FnOnce(&mut Operation<'_>)) -> Value {
        let generator = || SchemaSettings::draft2020_12().into_generator();
        let (mut input, mut output) = (generator(), generator());
        let mut operation = Operation::new(&mut input, &mut output);
        describe(&mut operation);
        operation.finish()
    }

    #[test]
    fn prose_is_a_summary_and_a_description() {
        let table: [(&[&str], _, Value); 3] = [
            (&[" One."], "One.", json!(null)),
            (&[" One,", " still one."], "One, still one.", json!(null)),
            (&[" One.", "", " Two,", " three.", "", " Four."], "One.", json!("Two,\nthree.\n\nFour.")),
        ];

        for (lines, summary, description) in table {
            let operation = described(|operation| operation.prose("get_one_thing", lines));
            assert_eq!((&operation["summary"], &operation["operationId"]), (&json!(summary), &json!("getOneThing")));
            assert_eq!(operation.get("description").unwrap_or(&json!(null)), &description);
        }
    }

    #[test]
    fn what_a_query_may_leave_out_is_never_null() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only described")]
        struct Form {
            /// How many.
            #[schemars(range(min = 1))]
            limit: Option<u8>,
        }

        let operation = described(|operation| operation.query::<Form>());

        let parameter = &operation["parameters"][0];
        assert_eq!((&parameter["name"], &parameter["in"]), (&json!("limit"), &json!("query")));
        assert_eq!((&parameter["description"], &parameter["schema"]["type"]), (&json!("How many."), &json!("integer")));
        assert_eq!(never_null(json!({ "anyOf": [{ "$ref": "#/a" }, { "type": "null" }] })), json!({ "$ref": "#/a" }));
    }

    #[test]
    fn a_header_is_a_parameter_that_need_not_be_there() {
        let operation = described(|operation| operation.header::<String>("If-Match", "Which version."));

        let wanted = json!({ "name": "If-Match", "in": "header", "description": "Which version.", "schema": { "type": "string" } });
        assert_eq!(operation["parameters"], json!([wanted]));
    }

    #[test]
    fn a_status_may_have_several_reasons() {
        let operation = described(|operation| {
            operation.problem("The one.", &Problem::invalid("one".into()));
            operation.problem("The other.", &Problem::plain(Status::UnprocessableEntity));
            operation.problem("The other.", &Problem::plain(Status::UnprocessableEntity));
        });

        let response = &operation["responses"]["422"];
        assert_eq!(response["description"], "The one. The other.");
        let examples = response["content"]["application/problem+json"]["examples"].as_object().unwrap();
        assert_eq!(examples.keys().collect::<Vec<_>>(), ["invalid-request", "unprocessable-entity"]);
    }
}
