// The roster as a table that is edited in place; only the rows in sight exist, as nodes that are used again.
// Rows come from Python in windows when they come into sight and go when far; nothing of them is kept in the
// widget's state. One text field stands over the active cell and always has the focus, so that an input
// method can start on any cell. Whatever Python answers late moves no cursor that a person has moved since.
// Three parts stick while the sheet scrolls (headings, the two first columns, their corner), not each cell:
// every sticky box is a layer of its own. Written by hand: no build, nothing imported, nothing fetched.

const BLOCK = 100; // rows a request
const KEPT = 60; // blocks kept, those farthest from sight go first
const OVER = 5; // rows made beyond each edge; more of them are asked for, in the direction of travel
const FLYING = 4; // windows that may be asked for at once
const CUT = 200; // letters of a long cell that are drawn
const ODD = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
const HELP =
  "矢印：移動　Enter・F2：編集　そのまま入力：書き換え　Esc：取り消し、もう一度で表から出る　Tab：入力中は右のセルへ、ほかのときは表の外へ　" +
  "Home・End：左右の端　Ctrl+Home・End：先頭・末尾　PageUp・PageDown：1 画面　Shift+矢印：範囲　" +
  "Delete：消す　Alt+Enter：セルの中で改行　Ctrl+C・V：コピー・貼り付け（Excel と）　" +
  "Ctrl+Z・Y：元に戻す・やり直す　F8：次の誤りへ（Shift+F8：前の誤りへ）";
const SILENT =
  "返事がありません。別の処理の途中か、カーネルが止まっています。いま直した内容は、まだ受け取られていません。" +
  "しばらく待っても変わらないときは、「すべて実行」を押し、この表を開き直してください。";

let count = 0;

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

const visible = (text) => {
  const short = text.length > CUT ? `${text.slice(0, CUT)}…（${text.length.toLocaleString()} 文字）` : text;
  return short
    .replace(/\r\n|\r|\n/g, "⏎")
    .replace(ODD, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
};

const WIDE = /[\u1100-\u115f\u2e80-\uffdc\u{1f000}-\u{3ffff}]/u;
const fitted = (text, room) => {
  // what a cell has room for (in half-width letters), with an ellipsis; by the style it costs a layout each
  if (text.length * 2 <= room) return text;
  let used = 0;
  let at = 0;
  for (const letter of text) {
    used += WIDE.test(letter) ? 2 : 1;
    if (used > room) return `${text.slice(0, Math.max(1, at - 1))}…`;
    at += letter.length;
  }
  return text;
};

const fromTsv = (text) => {
  const rows = [[]];
  let cell = "";
  let at = 0;
  const plain = text.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  while (at < plain.length) {
    if (cell === "" && plain[at] === '"' && (at === 0 || "\t\n".includes(plain[at - 1]))) {
      const quoted = /"((?:[^"]|"")*)"(?=[\t\n]|$)/y;
      quoted.lastIndex = at;
      const found = quoted.exec(plain);
      if (found) {
        cell = found[1].replace(/""/g, '"');
        at = quoted.lastIndex;
        continue;
      }
    }
    const c = plain[at++];
    if (c === "\t" || c === "\n") {
      rows.at(-1).push(cell);
      cell = "";
      if (c === "\n") rows.push([]);
    } else cell += c;
  }
  rows.at(-1).push(cell);
  return rows;
};

const toTsv = (rows) =>
  rows
    .map((row) => row.map((t) => (/["\t\r\n]/.test(t) ? `"${t.replace(/"/g, '""')}"` : t)).join("\t"))
    .join("\r\n");

class Grid {
  constructor(model, el) {
    this.model = model;
    this.id = `bkg${++count}`;
    this.meta = null;
    this.state = null;
    this.blocks = new Map(); // number of a block → its rows
    this.asked = new Map(); // number of a block → when it was asked for
    this.pool = []; // rows in the DOM: row n is in the place n modulo their number
    this.at = { row: 0, col: 0, number: 0 };
    this.anchor = null;
    this.editing = null; // {row, col, number, before, typed}
    this.composing = false;
    this.asks = 0; // numbers what is asked, so that an answer is known by its question
    this.moves = 0; // of the cursor, by a person
    this.then = new Map(); // a question → the moves when it was asked
    this.flying = []; // edits without an answer: shown over whatever older rows come meanwhile
    this.high = this.wide = this.left = 0; // of the part in sight; read when it changes, not while drawing
    this.build(el);
    this.listen = (message, buffers) => this.hear(message, buffers);
    model.on("msg:custom", this.listen);
    this.resized = new ResizeObserver(() => this.measure());
    this.resized.observe(this.scroll);
    this.ask({ do: "hello" });
  }

  end() {
    this.finish();
    this.resized.disconnect();
    for (const timer of [this.patience, this.telling, this.wanting, this.resting, this.seeking]) clearTimeout(timer);
    cancelAnimationFrame(this.drawing);
    this.model.off("msg:custom", this.listen);
  }

  // -- the frame --------------------------------------------------------------------------------------

  build(el) {
    const button = (text, act, hint) => {
      const node = make("button", { type: "button", title: hint || text }, text);
      node.addEventListener("click", act);
      return node;
    };
    const act = (what) => () => this.ask({ do: what, ...this.span() });
    this.only = make("select", { id: `${this.id}o` });
    this.only.addEventListener("change", () => this.ask({ do: "view", only: this.only.value }));
    this.search = make("input", { id: `${this.id}q`, type: "search", autocomplete: "off", spellcheck: "false" });
    const seek = () => {
      clearTimeout(this.seeking);
      this.seeking = setTimeout(() => this.ask({ do: "view", search: this.search.value }), 250);
    };
    this.search.addEventListener("input", (event) => event.isComposing || seek());
    this.search.addEventListener("compositionend", seek);
    this.undo = button("元に戻す", () => this.ask({ do: "undo" }), "Ctrl+Z");
    this.redo = button("やり直す", () => this.ask({ do: "redo" }), "Ctrl+Y");
    this.next = button("次の誤りへ", () => this.jump(false), "F8");
    this.next.classList.add("bkg-main");
    this.bar = make(
      "div",
      { class: "bkg-bar", role: "toolbar", "aria-label": "名簿の表の操作" },
      this.next,
      make("label", { for: this.only.id }, "表示する行"),
      this.only,
      make("label", { for: this.search.id }, "検索"),
      this.search,
      this.undo,
      this.redo,
      button("行を追加", act("add")),
      button("行を削除", act("remove")),
      button("行を戻す", act("restore"), "削除した行を戻す"),
      button("ダウンロード", act("download"), "直した名簿をこの PC に保存する"),
    );
    this.sum = make("p", { class: "bkg-sum" }, "名簿を読み込んでいます…");
    this.say = make("p", { class: "bkg-say", id: `${this.id}s` });
    this.live = make("div", { class: "bkg-sr", role: "status", "aria-live": "polite", "aria-atomic": "true" });
    this.corner = make("div", { class: "bkg-side bkg-corner", role: "presentation" });
    this.head = make("div", { class: "bkg-head", role: "row", "aria-rowindex": "1" }, this.corner);
    this.side = make("div", { class: "bkg-side", role: "presentation" });
    this.body = make("div", { class: "bkg-body", role: "rowgroup" }, this.side);
    this.why = make("div", { id: `${this.id}w`, hidden: "" }); // what is wrong with the active cell
    this.input = make("textarea", {
      class: "bkg-input",
      rows: "1",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      "aria-label": "名簿の表のセル",
      "aria-controls": this.id,
      "aria-describedby": this.say.id,
    });
    this.table = make(
      "div",
      { class: "bkg-table", role: "grid", id: this.id, "aria-label": "名簿の表", "aria-multiselectable": "true" },
      make("div", { role: "rowgroup", class: "bkg-top" }, this.head),
      this.body,
    );
    this.sheet = make("div", { class: "bkg-sheet" }, this.table, this.input);
    this.scroll = make("div", { class: "bkg-scroll", tabindex: "-1" }, this.sheet);
    this.help = make("details", { class: "bkg-help" }, make("summary", {}, "キーの使い方"), make("p", {}, HELP));
    this.root = make(
      "div",
      { class: "bkg", lang: "ja", "data-lm-suppress-shortcuts": "true" },
      this.bar,
      this.sum,
      this.say,
      this.scroll,
      this.help,
      this.why,
      this.live,
    );
    el.append(this.root);
    for (const kind of ["keydown", "keyup", "keypress", "copy", "cut", "paste", "contextmenu"])
      this.root.addEventListener(kind, (event) => event.stopPropagation());
    this.scroll.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.body.addEventListener("mousedown", (event) => this.pressed(event));
    this.body.addEventListener("dblclick", (event) => this.cellOf(event) && this.edit(false));
    const input = this.input;
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("compositionstart", () => {
      this.composing = true;
      if (!this.editing) this.edit(true);
    });
    input.addEventListener("compositionend", () => {
      this.composing = false;
      this.fit();
    });
    input.addEventListener("input", () => {
      if (!this.editing) this.edit(true);
      this.fit();
    });
    input.addEventListener("focus", () => {
      this.root.classList.add("bkg-in");
      this.tell();
    });
    input.addEventListener("blur", () => {
      this.root.classList.remove("bkg-in");
      this.composing = false;
      this.finish();
    });
    for (const kind of ["copy", "cut"]) input.addEventListener(kind, (event) => this.copy(event));
    input.addEventListener("paste", (event) => this.paste(event));
  }

  headings() {
    const { header, required, known, widths } = this.meta;
    const em = parseFloat(getComputedStyle(this.root).fontSize) || 14;
    this.line = Math.round(em * 2.1);
    this.root.style.setProperty("--bkg-line", `${this.line}px`);
    const number = Math.round(em * 5.6);
    this.lefts = [number];
    widths.forEach((width, place) => this.lefts.push(this.lefts[place] + Math.round(width * em * 0.56)));
    this.sheet.style.width = this.head.style.width = `${this.lefts.at(-1)}px`;
    this.side.style.width = this.corner.style.width = `${this.lefts[1]}px`;
    const need = new Set(required);
    const cells = header.map((title, place) => {
      const cell = make(
        "div",
        {
          class: "bkg-c",
          role: "columnheader",
          id: `${this.id}h${place}`,
          "aria-colindex": String(place + 2),
          title: known[place] ? title : `${title}（キットが使わない列。そのまま残ります）`,
        },
        visible(title) + (need.has(place) ? "＊" : ""),
      );
      if (need.has(place)) cell.setAttribute("aria-label", `${visible(title)}（必須）`);
      return this.stand(cell, place);
    });
    const first = make("div", { class: "bkg-c bkg-n", role: "columnheader", id: `${this.id}h`, "aria-colindex": "1" }, "行");
    this.corner.replaceChildren(this.stand(first, -1), cells[0]);
    this.head.replaceChildren(this.corner, ...cells.slice(1));
    this.head.setAttribute("aria-owns", [first, ...cells].map((cell) => cell.id).join(" "));
    this.table.setAttribute("aria-colcount", String(header.length + 1));
    for (const [value, text] of Object.entries(this.meta.filters)) this.only.append(new Option(text, value));
    this.table.setAttribute("aria-label", `名簿の表 ${this.meta.name}`);
    for (const item of this.pool) for (const node of [item.row, item.pair]) node.remove();
    this.pool = [];
    this.measure();
  }

  stand(cell, place) {
    const left = place < 0 ? 0 : this.lefts[place];
    cell.style.left = `${left}px`;
    cell.style.width = `${(place < 0 ? this.lefts[0] : this.lefts[place + 1]) - left}px`;
    return cell;
  }

  measure() {
    const { scroll } = this;
    [this.high, this.wide, this.left] = [scroll.clientHeight, scroll.clientWidth, scroll.scrollLeft];
    this.draw();
  }

  // -- what Python says -------------------------------------------------------------------------------

  ask(what) {
    if (!["rows", "edit", "hello", "where"].includes(what.do)) this.finish();
    const of = ++this.asks;
    this.then.set(of, this.moves);
    if (what.do === "edit") this.flying.push({ of, cells: what.cells });
    clearTimeout(this.patience);
    this.patience = setTimeout(() => {
      this.announce(SILENT, true);
      this.announced = -1; // until there is an answer
    }, 10000);
    const lines = this.line ? Math.ceil(this.high / this.line) + 2 * OVER : 0; // the next view may be longer than this
    this.model.send({ ...what, of, seen: [this.range()[0], lines] });
  }

  hear(message, buffers) {
    const { kind, of } = message;
    clearTimeout(this.patience);
    const late = of !== undefined && this.then.get(of) !== this.moves; // somebody moved since that was asked
    if (of !== undefined) this.flying = this.flying.filter((one) => one.of > of);
    for (const one of this.then.keys()) if (one < of) this.then.delete(one);
    if (kind === "meta" && !this.meta) {
      this.meta = message;
      this.headings();
    } else if (!this.meta) return;
    else if (kind === "state") this.renew(message);
    else if (kind === "rows") {
      if (!this.state || message.view !== this.state.view) return;
      this.keep(message.from, message.rows);
      this.fill();
    } else if (kind === "where") this.follow(message.row, late);
    else if (kind === "goto") {
      const { moves } = this;
      if (!late) this.go(message.row, message.place < 0 ? this.at.col : message.place, false);
      this.moves = moves; // nobody moved: a second answer under way is not late by the first
    } else if (kind === "said") this.announce(message.text, message.bad);
    else if (kind === "file") saveFile(this.root, message, buffers, (text) => this.announce(text, false));
    else if (kind === "again") {
      this.meta = null;
      this.only.replaceChildren();
      this.ask({ do: "hello" });
    }
  }

  renew(state) {
    const old = this.state;
    this.state = state;
    const other = old && old.view !== state.view;
    if (other) {
      this.at.row = Math.min(this.at.row, Math.max(0, state.shown - 1));
      this.anchor = null;
    }
    this.blocks.clear();
    this.asked.clear();
    this.fresh = { from: state.from, rows: this.overlaid(state.window) };
    this.table.setAttribute("aria-rowcount", String(state.shown + 1));
    this.only.value = state.only;
    if (document.activeElement !== this.search && state.only === "all" && old && old.shown !== state.shown)
      this.search.value = state.shown === state.rows ? "" : this.search.value;
    const some = state.shown === state.rows ? "" : `${state.shown.toLocaleString()} 行を表示　/　`;
    this.sum.textContent =
      `${some}全 ${state.rows.toLocaleString()} 行　誤り ${state.errors.toLocaleString()} 件　` +
      `注意 ${state.warnings.toLocaleString()} 件　直した所 ${state.edited.toLocaleString()} か所` +
      (state.edited ? "（まだ保存していません）" : "");
    this.sum.title = state.whole.join("\n");
    this.undo.disabled = !state.undo;
    this.redo.disabled = !state.redo;
    this.sheet.style.height = `${(state.shown + 1) * this.line}px`;
    this.draw(true);
    this.tell(true);
    const number = this.editing ? this.editing.number : this.at.number;
    if (other && number) this.ask({ do: "where", number }); // the cursor stays on its person, not on its place
  }

  follow(row, late) {
    if (late && !this.editing) return;
    if (row >= 0) {
      this.at.row = row;
      if (this.editing) this.editing.row = row;
    } else if (this.editing && !this.composing) this.finish(); // kept by its number, wherever its row is
    this.draw(true);
    this.tell();
  }

  overlaid(rows) {
    for (const { cells } of this.flying)
      for (const [number, col, text] of cells) {
        const row = rows.find((one) => one[0] === number);
        if (!row) continue;
        row[2][col] = text;
        if (!row[4].includes(col)) row[4].push(col);
      }
    return rows;
  }

  keep(from, rows) {
    this.overlaid(rows);
    for (let start = from; start < from + rows.length; start += BLOCK) {
      const block = Math.floor(start / BLOCK);
      if (block * BLOCK === start) this.blocks.set(block, rows.slice(start - from, start - from + BLOCK));
      this.asked.delete(block);
    }
    if (this.blocks.size > KEPT) {
      const here = Math.floor(this.range()[0] / BLOCK);
      const far = [...this.blocks.keys()].sort((a, b) => Math.abs(b - here) - Math.abs(a - here));
      for (const block of far.slice(0, this.blocks.size - KEPT)) this.blocks.delete(block);
    }
  }

  data(row) {
    const block = this.blocks.get(Math.floor(row / BLOCK));
    if (block) return block[row % BLOCK];
    return this.fresh && this.fresh.rows[row - this.fresh.from];
  }

  want() {
    if (!this.state) return;
    const [first, last] = this.range();
    const now = performance.now();
    const ahead = this.heading * BLOCK;
    const end = Math.min(this.state.shown, last + Math.max(0, ahead));
    for (let block = Math.floor(Math.max(0, first + Math.min(0, ahead)) / BLOCK); block * BLOCK < end; block++) {
      const since = now - (this.asked.get(block) ?? -Infinity);
      if (this.blocks.has(block) || since < 3000) continue;
      if (this.asked.size >= FLYING) return this.wish(); // one after the other: what is passed by is not asked for
      this.asked.set(block, now);
      this.ask({ do: "rows", from: block * BLOCK, n: BLOCK });
    }
  }

  wish() {
    this.wanting ||= setTimeout(() => {
      this.wanting = 0;
      for (const [block, when] of this.asked) if (performance.now() - when > 3000) this.asked.delete(block);
      this.want();
    }, 30);
  }

  // -- rows in sight ----------------------------------------------------------------------------------

  range() {
    if (!this.state || !this.line) return [0, 0];
    const some = Math.ceil(this.high / this.line) + 2 * OVER;
    const many = Math.min(this.state.shown, some + (some % 2)); // even: a node keeps its shade
    const first = Math.floor((this.top || 0) / this.line) - OVER;
    const start = Math.max(0, Math.min(first, this.state.shown - many));
    return [start, start + many];
  }

  scrolled() {
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      this.draw();
    });
  }

  draw(all = false) {
    if (!this.state || !this.meta) return;
    const { scrollTop, scrollLeft } = this.scroll;
    this.heading = Math.sign(scrollTop - (this.top || 0)) || this.heading || 1;
    [this.top, this.left] = [scrollTop, scrollLeft];
    const [first, last] = this.range();
    const pool = this.pool;
    if (pool.length !== last - first) {
      while (pool.length > last - first) for (const node of pool.pop().nodes) node.remove();
      while (pool.length < last - first) pool.push(this.made(pool.length));
      all = true;
    }
    for (let row = first; row < last; row++) {
      const item = pool[row % pool.length];
      if (all || item.at !== row) this.put(item, row);
    }
    this.place();
    this.wish();
    this.resting ||= setTimeout(() => this.rest(), 150);
  }

  rest() {
    this.resting = 0;
    const order = [...this.pool].sort((one, other) => one.at - other.at).map((item) => item.row.id);
    const owns = order.join(" "); // in the order in which they are seen, for who hears them
    if (this.body.getAttribute("aria-owns") !== owns) this.body.setAttribute("aria-owns", owns);
  }

  fill() {
    for (const item of this.pool) if (!item.data || item.data !== this.data(item.at)) this.put(item, item.at);
    this.tell(true);
  }

  made(place) {
    const name = `${this.id}r${place}`;
    const number = make("div", { role: "rowheader", class: "bkg-c bkg-n", "aria-colindex": "1", id: `${name}n` }, "");
    const cells = this.meta.header.map((_, col) =>
      this.stand(make("div", { role: "gridcell", class: "bkg-c", "aria-colindex": String(col + 2), id: `${name}c${col}` }, ""), col),
    );
    const all = [this.stand(number, -1), ...cells];
    const pair = make("div", { class: "bkg-row", role: "presentation" }, number, cells[0]);
    const row = make("div", { class: "bkg-row", role: "row", id: name }, ...cells.slice(1));
    row.setAttribute("aria-owns", all.map((cell) => cell.id).join(" "));
    const texts = all.map((cell) => cell.firstChild || cell.appendChild(document.createTextNode("")));
    const item = { row, pair, nodes: [row, pair], all, texts, at: NaN, data: null, names: all.map(() => "") };
    all.forEach((cell, col) => (cell.bkg = [item, col - 1]));
    this.body.append(row);
    this.side.append(pair);
    return item;
  }

  put(item, row) {
    const data = this.data(row) || null;
    if (item.at !== row) {
      item.at = row;
      for (const node of item.nodes) node.style.transform = `translateY(${row * this.line}px)`;
      item.row.setAttribute("aria-rowindex", String(row + 2));
    }
    const kind = `bkg-row${data && data[1] & 1 ? " bkg-gone" : ""}${row % 2 ? " bkg-odd" : ""}`;
    for (const node of item.nodes) if (node.className !== kind) node.className = kind;
    if (item.data !== data || !data || data.stale) {
      item.data = data;
      if (data) data.stale = false;
      const [number, marks, cells, problems, edited] = data || [0, 0, [], [], []];
      const whole = problems.find(([place]) => place < 0);
      const words = [marks & 1 ? "削除" : "", marks & 2 ? "追加" : "", whole ? (whole[1] === "e" ? "誤" : "注") : ""];
      item.word = data ? words.find(Boolean) || (edited.length ? "改" : "") : "";
      this.write(item, 0, data ? String(number) + (item.word ? ` ${item.word}` : "") : "…", whole);
      for (let place = 0; place < item.all.length - 1; place++) {
        const problem = problems.length ? problems.find(([where]) => where === place) : undefined;
        const room = Math.floor(this.meta.widths[place] * 1.12) - (problem ? 3 : 2);
        this.write(item, place + 1, visible(cells[place] ?? ""), problem, room);
      }
    }
    this.mark(item);
  }

  write(item, col, whole, problem, room = Infinity) {
    const node = item.texts[col];
    const cell = item.all[col];
    const text = fitted(whole, room);
    if (node.data !== text) node.data = text;
    if (text !== whole) cell.setAttribute("aria-label", whole);
    else if (cell.bkgCut) cell.removeAttribute("aria-label");
    cell.bkgCut = text !== whole;
    const [, severity, sentence] = problem || [];
    if (cell.bkgWhy === sentence) return;
    cell.bkgWhy = sentence;
    if (sentence) cell.title = sentence;
    else cell.removeAttribute("title");
    if (severity === "e") cell.setAttribute("aria-invalid", "true");
    else cell.removeAttribute("aria-invalid");
  }

  mark(item) {
    const [, , , problems, edited] = item.data || [0, 0, [], [], []];
    const marked = this.spanned(item.at);
    for (let col = 0; col < item.all.length; col++) {
      const place = col - 1;
      let name = col ? "bkg-c" : "bkg-c bkg-n";
      if (col) {
        const problem = problems.length ? problems.find(([where]) => where === place) : undefined;
        if (problem) name += problem[1] === "e" ? " bkg-e" : " bkg-w";
        if (edited.length && edited.includes(place)) name += " bkg-ed";
        if (marked && place >= marked[0] && place <= marked[1]) name += " bkg-sel";
        const active = item.at === this.at.row && place === this.at.col;
        if (active) name += " bkg-at";
        if (active && item.data) this.at.number = item.data[0];
        if (active || item.names[col].includes("bkg-at")) this.choose(item.all[col], active, problem);
      } else if (item.word) name += " bkg-has";
      if (item.names[col] !== name) item.all[col].className = item.names[col] = name;
    }
  }

  choose(cell, active, problem) {
    if (!active) {
      for (const name of ["aria-selected", "aria-describedby"]) cell.removeAttribute(name);
      if (this.input.getAttribute("aria-activedescendant") === cell.id) this.input.removeAttribute("aria-activedescendant");
      return;
    }
    cell.setAttribute("aria-selected", "true");
    this.input.setAttribute("aria-activedescendant", cell.id);
    if (problem) {
      this.why.textContent = problem[2];
      cell.setAttribute("aria-describedby", this.why.id);
    } else cell.removeAttribute("aria-describedby");
  }

  // -- the active cell --------------------------------------------------------------------------------

  span() {
    const other = this.anchor || this.at;
    return { row: this.at.row, to: other.row, place: this.at.col };
  }

  spanned(row) {
    if (!this.anchor) return null;
    const [a, b] = [this.anchor.row, this.at.row].sort((x, y) => x - y);
    if (row < a || row > b) return null;
    return [this.anchor.col, this.at.col].sort((x, y) => x - y);
  }

  go(row, col, extend) {
    if (!this.state || !this.meta) return;
    this.finish();
    this.moves++;
    if (extend && !this.anchor) this.anchor = { ...this.at };
    if (!extend) this.anchor = null;
    this.at = {
      row: Math.max(0, Math.min(this.state.shown - 1, row)),
      col: Math.max(0, Math.min(this.meta.header.length - 1, col)),
      number: 0,
    };
    const { scroll, line } = this;
    const top = this.at.row * line;
    const room = this.high - line;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (top + line > scroll.scrollTop + room) scroll.scrollTop = top + line - room;
    const frozen = this.lefts[1];
    const [left, right] = [this.lefts[this.at.col], this.lefts[this.at.col + 1]];
    if (this.at.col) {
      if (left < scroll.scrollLeft + frozen) scroll.scrollLeft = left - frozen;
      else if (right > scroll.scrollLeft + this.wide)
        scroll.scrollLeft = Math.min(left - frozen, right - this.wide);
    }
    this.draw();
    for (const item of this.pool) this.mark(item);
    this.input.focus({ preventScroll: true });
    this.input.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.tell();
  }

  place() {
    const { row, col } = this.editing || this.at;
    if (!this.lefts) return;
    const left = col ? this.lefts[col] : this.lefts[0] + this.left;
    const where = `translate(${left}px, ${(row + 1) * this.line}px)`;
    if (where === this.placed) return;
    this.placed = where;
    const { style } = this.input;
    style.transform = where;
    style.width = `${this.lefts[col + 1] - this.lefts[col]}px`;
    style.zIndex = col ? "2" : "4";
  }

  tell(again = false) {
    clearTimeout(this.telling);
    if (!again) this.announced = -1;
    this.telling = setTimeout(() => {
      if (!this.state || !this.meta || this.editing) return;
      if (again && this.announced === this.moves) return; // stays to be read until somebody moves
      const { text, heard, bad } = this.described();
      if (again && text === this.told) return; // nothing new: not said once more
      this.told = text;
      this.say.textContent = text;
      this.say.classList.toggle("bkg-bad", bad);
      if (heard && document.activeElement === this.input) this.utter(heard);
    }, 60);
  }

  described() {
    const data = this.data(this.at.row);
    if (!data) return { text: this.state.shown ? "読み込んでいます…" : "表示する行がありません。", heard: "", bad: false };
    const [number, marks, cells, problems, edited] = data;
    const { col } = this.at;
    const mine = problems.filter(([place]) => place === col || place < 0);
    const state = [marks & 1 ? "削除した行" : "", marks & 2 ? "追加した行" : "", edited.includes(col) ? "直したセル" : ""];
    const words = state.filter(Boolean).join("、");
    const place = `${number} 行目「${this.meta.header[col]}」`;
    const value = visible(cells[col] ?? "") || "空";
    const why = mine.map((one) => one[2]);
    return {
      text: `${place}${words ? `（${words}）` : ""}　${why.join("　") || "問題ありません。"}`,
      heard: `${place}：${value}。${words ? `${words}。` : ""}${why.join(" ")}`,
      bad: mine.some((one) => one[1] === "e"),
    };
  }

  announce(text, bad) {
    clearTimeout(this.telling);
    this.announced = this.moves;
    this.told = "";
    this.say.textContent = text;
    this.say.classList.toggle("bkg-bad", bad);
    this.utter(text);
  }

  utter(text) {
    this.live.textContent = this.live.textContent === text ? `${text}\u00a0` : text; // the same again is heard again
  }

  jump(back) {
    this.finish();
    this.ask({ do: "next", row: this.at.row, place: this.at.col, back });
  }

  // -- editing ----------------------------------------------------------------------------------------

  edit(typed) {
    const data = this.data(this.at.row);
    if (!data || data[1] & 1) {
      this.input.value = "";
      this.announce(data ? "削除した行です。直すには、先に「行を戻す」を押してください。" : "まだ読み込み中です。", true);
      return;
    }
    const { row, col } = this.at;
    const before = data[2][col] ?? "";
    this.editing = { row, col, number: data[0], before, typed };
    this.moves++;
    this.anchor = null;
    if (!typed) {
      this.input.value = before;
      this.input.setSelectionRange(before.length, before.length);
    }
    this.root.classList.add("bkg-editing");
    this.input.setAttribute("aria-label", `${data[0]} 行目「${this.meta.header[col]}」を編集中`);
    this.place();
    this.fit();
  }

  fit() {
    if (!this.editing) return;
    const { style } = this.input;
    style.height = `${this.line}px`;
    const { col } = this.editing;
    const own = this.lefts[col + 1] - this.lefts[col];
    style.width = `${Math.max(own, Math.min(420, this.input.value.length * 16 + 24))}px`;
    style.height = `${Math.min(this.line * 6, Math.max(this.line, this.input.scrollHeight))}px`;
  }

  finish(keep = true) {
    const edit = this.editing;
    if (!edit) return;
    this.editing = null;
    const text = this.input.value;
    this.input.value = "";
    this.input.style.height = `${this.line}px`;
    this.root.classList.remove("bkg-editing");
    this.input.setAttribute("aria-label", "名簿の表のセル");
    this.place();
    if (keep && text !== edit.before) {
      const data = this.data(edit.row);
      if (data && data[0] === edit.number) {
        data[2][edit.col] = text; // shown at once; Python's answer brings the problems
        if (!data[4].includes(edit.col)) data[4].push(edit.col);
        data.stale = true;
        const item = this.pool[edit.row % this.pool.length];
        if (item && item.at === edit.row) this.put(item, edit.row);
      }
      this.ask({ do: "edit", cells: [[edit.number, edit.col, text]] });
    }
    this.tell();
  }

  key(event) {
    if (event.isComposing || this.composing || event.keyCode === 229) return; // the input method's own
    const { key, shiftKey: shift } = event;
    const ctrl = event.ctrlKey || event.metaKey;
    const { row, col } = this.at;
    const page = Math.max(1, Math.floor(this.high / this.line) - 2);
    const columns = this.meta ? this.meta.header.length : 1;
    const rows = this.state ? this.state.shown : 0;
    const done = (act) => {
      event.preventDefault();
      act();
    };
    if (this.editing) {
      if (key === "Enter" && event.altKey) return done(() => this.insert("\n"));
      if (key === "Enter") return done(() => this.go(row + (shift ? -1 : 1), col));
      if (key === "Tab") return done(() => this.beside(shift ? -1 : 1, columns));
      if (key === "Escape") return done(() => this.finish(false));
      if (!this.editing.typed) return;
      if (key === "ArrowUp" || key === "ArrowDown") return done(() => this.go(row + (key === "ArrowUp" ? -1 : 1), col));
      return;
    }
    const moves = {
      ArrowUp: [ctrl ? 0 : row - 1, col],
      ArrowDown: [ctrl ? rows - 1 : row + 1, col],
      ArrowLeft: [row, ctrl ? 0 : col - 1],
      ArrowRight: [row, ctrl ? columns - 1 : col + 1],
      Home: [ctrl ? 0 : row, 0],
      End: [ctrl ? rows - 1 : row, columns - 1],
      PageUp: [row - page, col],
      PageDown: [row + page, col],
    };
    if (moves[key]) return done(() => this.go(...moves[key], shift));
    if (key === "Enter" || key === "F2") return done(() => this.edit(false));
    if (key === "Escape") return done(() => this.leave());
    if (key === "F8") return done(() => this.jump(shift));
    if (key === "Delete" || key === "Backspace") return done(() => this.clear());
    const letter = key.toLowerCase();
    if (ctrl && letter === "z") return done(() => this.ask({ do: shift ? "redo" : "undo" }));
    if (ctrl && letter === "y") return done(() => this.ask({ do: "redo" }));
    if (ctrl && letter === "f") return done(() => this.search.focus());
  }

  beside(step, columns) {
    const { row, col } = this.at;
    const next = col + step;
    if (next >= 0 && next < columns) this.go(row, next);
    else if (next < 0 && row > 0) this.go(row - 1, columns - 1);
    else if (next >= columns && row < this.state.shown - 1) this.go(row + 1, 0);
    else this.leave();
  }

  leave() {
    this.finish();
    this.help.firstChild.focus();
    this.announce("表から出ました。", false);
  }

  insert(text) {
    this.input.setRangeText(text, this.input.selectionStart, this.input.selectionEnd, "end");
    this.fit();
  }

  pressed(event) {
    const cell = this.cellOf(event);
    if (!cell || event.button) return;
    event.preventDefault();
    this.go(cell.row, cell.col, event.shiftKey);
    const move = (moved) => {
      const other = moved.buttons ? this.cellOf(moved) : null;
      if (other && (other.row !== this.at.row || other.col !== this.at.col)) this.go(other.row, other.col, true);
    };
    this.body.addEventListener("mousemove", move);
    addEventListener("mouseup", () => this.body.removeEventListener("mousemove", move), { once: true });
  }

  cellOf(event) {
    const cell = event.target.closest && event.target.closest(".bkg-body .bkg-c");
    return cell && cell.bkg ? { row: cell.bkg[0].at, col: Math.max(0, cell.bkg[1]) } : null;
  }

  // -- blocks of cells --------------------------------------------------------------------------------

  block() {
    const other = this.anchor || this.at;
    const [top, bottom] = [other.row, this.at.row].sort((x, y) => x - y);
    const [left, right] = [other.col, this.at.col].sort((x, y) => x - y);
    const rows = [];
    for (let row = top; row <= bottom; row++) rows.push(this.data(row));
    return { rows, left, right };
  }

  copy(event) {
    if (this.editing) return;
    event.preventDefault();
    const { rows, left, right } = this.block();
    if (rows.some((one) => !one)) {
      this.announce("範囲が広すぎてコピーできません。範囲を狭くしてください。", true);
      return;
    }
    const cells = rows.map((one) => Array.from({ length: right - left + 1 }, (_, k) => one[2][left + k] ?? ""));
    event.clipboardData.setData("text/plain", toTsv(cells));
    this.announce(`${rows.length.toLocaleString()} 行 × ${right - left + 1} 列をコピーしました。`, false);
    if (event.type === "cut") this.clear();
  }

  paste(event) {
    if (this.editing) return;
    event.preventDefault();
    const text = event.clipboardData.getData("text/plain");
    if (!text) return;
    let block = fromTsv(text);
    const { rows, left, right } = this.block();
    const top = Math.min(this.at.row, (this.anchor || this.at).row);
    if (block.length === 1 && block[0].length === 1 && (rows.length > 1 || right > left))
      block = rows.map(() => Array(right - left + 1).fill(block[0][0])); // one value into all of a range
    this.ask({ do: "paste", row: top, place: left, block });
  }

  clear() {
    const { rows, left, right } = this.block();
    const cells = [];
    for (const one of rows)
      if (one && !(one[1] & 1)) for (let col = left; col <= right; col++) if (one[2][col]) cells.push([one[0], col, ""]);
    if (cells.length) this.ask({ do: "edit", cells });
  }
}

export default {
  render({ model, el }) {
    const grid = new Grid(model, el);
    return () => grid.end();
  },
};
