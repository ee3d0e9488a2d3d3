// The roster as a table that is edited in place: one DOM table of which only the rows in sight exist.
// Rows come from Python in windows when they come into sight and go when far; nothing of them is kept in the
// widget's state. One text field stands over the active cell and always has the focus, so that an input
// method can start on any cell. Written by hand: no build, nothing imported, nothing fetched.

const BLOCK = 100; // rows a request
const KEPT = 60; // blocks kept, those farthest from sight go first
const OVER = 8; // rows made beyond each edge
const CUT = 200; // letters of a long cell that are drawn
const ODD = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
const HELP =
  "矢印：移動　Enter・F2：編集　そのまま入力：書き換え　Esc：取り消し、もう一度で表から出る　Tab：右へ　" +
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
    this.pool = []; // rows in the DOM, in order
    this.at = { row: 0, col: 0 };
    this.anchor = null;
    this.editing = null; // {row, col, number, before, typed}
    this.composing = false;
    this.moves = this.expect = 0; // whether anybody moved since something was asked
    this.build(el);
    this.listen = (message, buffers) => this.hear(message, buffers);
    model.on("msg:custom", this.listen);
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.scroll);
    this.ask({ do: "hello" });
  }

  end() {
    this.finish();
    this.resized.disconnect();
    clearTimeout(this.patience);
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
    this.columns = make("colgroup");
    this.head = make("tr", { role: "row", "aria-rowindex": "1" });
    this.body = make("tbody", { role: "presentation" });
    this.table = make(
      "table",
      { class: "bkg-table", role: "grid", id: this.id, "aria-label": "名簿の表", "aria-multiselectable": "true" },
      this.columns,
      make("thead", { role: "presentation" }, this.head),
      this.body,
    );
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
    const cols = [make("col", { style: `width:${number}px` })];
    widths.forEach((width, place) => {
      const wide = Math.round(width * em * 0.56);
      cols.push(make("col", { style: `width:${wide}px` }));
      this.lefts.push(this.lefts[place] + wide);
    });
    this.columns.replaceChildren(...cols);
    this.table.style.width = this.sheet.style.width = `${this.lefts.at(-1)}px`;
    this.root.style.setProperty("--bkg-first", `${number}px`);
    const need = new Set(required);
    this.head.replaceChildren(
      make("th", { class: "bkg-n", role: "columnheader", "aria-colindex": "1", scope: "col" }, "行"),
      ...header.map((title, place) =>
        make(
          "th",
          {
            role: "columnheader",
            scope: "col",
            "aria-colindex": String(place + 2),
            title: known[place] ? title : `${title}（キットが使わない列。そのまま残ります）`,
            ...(place === 0 ? { class: "bkg-first" } : {}),
          },
          visible(title) + (need.has(place) ? "＊" : ""),
        ),
      ),
    );
    this.table.setAttribute("aria-colcount", String(header.length + 1));
    for (const [value, text] of Object.entries(this.meta.filters)) this.only.append(new Option(text, value));
    this.table.setAttribute("aria-label", `名簿の表 ${this.meta.name}`);
    for (const item of this.pool) item.tr.remove();
    this.pool = [];
  }

  // -- what Python says -------------------------------------------------------------------------------

  ask(what) {
    if (what.do !== "rows" && what.do !== "edit" && what.do !== "hello") this.finish();
    if (what.do !== "rows" && what.do !== "edit") this.expect = this.moves;
    clearTimeout(this.patience);
    this.patience = setTimeout(() => this.announce(SILENT, true), 10000);
    const [first, last] = this.range();
    this.model.send({ ...what, seen: [Math.max(0, first), Math.max(0, last - first)] });
  }

  hear(message, buffers) {
    const { kind } = message;
    clearTimeout(this.patience);
    if (kind === "meta" && !this.meta) {
      this.meta = message;
      this.headings();
    } else if (!this.meta) return;
    else if (kind === "state") this.renew(message);
    else if (kind === "rows") {
      if (!this.state || message.view !== this.state.view) return;
      this.keep(message.from, message.rows);
      this.fill();
    } else if (kind === "goto") this.go(message.row, message.place < 0 ? this.at.col : message.place, false);
    else if (kind === "said") this.announce(message.text, message.bad);
    else if (kind === "file") this.download(message.name, buffers[0]);
    else if (kind === "again") {
      this.meta = null;
      this.only.replaceChildren();
      this.ask({ do: "hello" });
    }
  }

  renew(state) {
    const old = this.state;
    this.state = state;
    if (!old || old.view !== state.view) {
      this.at.row = Math.min(this.at.row, Math.max(0, state.shown - 1));
      this.anchor = null;
    }
    this.blocks.clear();
    this.asked.clear();
    this.fresh = { from: state.from, rows: state.window };
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
    this.draw(true);
    this.tell();
  }

  keep(from, rows) {
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
    for (let block = Math.floor(first / BLOCK); block * BLOCK < last; block++) {
      if (this.blocks.has(block) || now - (this.asked.get(block) ?? -Infinity) < 3000) continue;
      this.asked.set(block, now);
      this.ask({ do: "rows", from: block * BLOCK, n: BLOCK });
    }
  }

  // -- rows in sight ----------------------------------------------------------------------------------

  range() {
    if (!this.state || !this.line) return [0, 0];
    const many = Math.min(this.state.shown, Math.ceil(this.scroll.clientHeight / this.line) + 2 * OVER);
    const first = Math.floor(this.scroll.scrollTop / this.line) - OVER;
    const start = Math.max(0, Math.min(first, this.state.shown - many));
    return [start, start + many];
  }

  scrolled() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.draw();
    });
  }

  draw(all = false) {
    if (!this.state || !this.meta) return;
    const [first, last] = this.range();
    const pool = this.pool;
    while (pool.length > last - first) pool.pop().tr.remove();
    while (pool.length < last - first) {
      const item = this.row();
      this.body.append(item.tr);
      pool.push(item);
    }
    const step = pool.length ? first - pool[0].row : 0; // a little further: only few rows change their place
    if (step > 0 && step < pool.length / 2)
      for (const item of pool.splice(0, step)) {
        this.body.append(item.tr);
        pool.push(item);
      }
    else if (step < 0 && -step < pool.length / 2)
      for (const item of pool.splice(step).reverse()) {
        this.body.prepend(item.tr);
        pool.unshift(item);
      }
    pool.forEach((item, place) => (all || item.row !== first + place) && this.put(item, first + place));
    this.table.style.top = `${first * this.line}px`;
    this.sheet.style.height = `${this.head.offsetHeight + this.state.shown * this.line}px`;
    this.place();
    clearTimeout(this.wanting);
    this.wanting = setTimeout(() => this.want(), 20);
  }

  fill() {
    for (const item of this.pool) if (!item.data || item.data !== this.data(item.row)) this.put(item, item.row);
    this.tell();
  }

  row() {
    const cells = this.meta.header.map((_, place) => {
      const extra = place ? {} : { class: "bkg-first" };
      return make("td", { role: "gridcell", "aria-colindex": String(place + 2), ...extra }, "");
    });
    const head = make("th", { role: "rowheader", scope: "row", class: "bkg-n", "aria-colindex": "1" });
    const texts = cells.map((cell) => cell.firstChild || cell.appendChild(document.createTextNode("")));
    return { tr: make("tr", { role: "row" }, head, ...cells), head, cells, texts, row: NaN, data: null };
  }

  put(item, row) {
    const data = this.data(row) || null;
    item.row = row;
    item.data = data;
    item.tr.setAttribute("aria-rowindex", String(row + 2));
    const kind = data && data[1] & 1 ? "bkg-gone" : row % 2 ? "bkg-odd" : "";
    if (item.tr.className !== kind) item.tr.className = kind;
    if (!data) item.head.textContent = "…";
    const [number, marks, cells, problems, edited] = data || [0, 0, [], [], []];
    if (data) {
      const whole = problems.find(([place]) => place < 0);
      const words = [marks & 1 ? "削除" : "", marks & 2 ? "追加" : "", whole ? (whole[1] === "e" ? "誤" : "注") : ""];
      const word = words.find(Boolean) || (edited.length ? "改" : "");
      item.head.replaceChildren(String(number), ...(word ? [make("span", { class: "bkg-mark" }, word)] : []));
      item.head.title = whole ? whole[2] : "";
    }
    const marked = this.spanned(row);
    item.cells.forEach((cell, place) => {
      const problem = problems.length ? problems.find(([where]) => where === place) : undefined;
      const text = visible(cells[place] ?? "");
      const node = item.texts[place];
      if (node.data !== text) node.data = text;
      if (problem) {
        const [, severity, sentence] = problem;
        const why = make("span", { hidden: "", id: `${this.id}p${row}-${place}` }, sentence);
        const mark = make("span", { class: "bkg-mark" }, severity === "e" ? "誤" : "注");
        cell.replaceChildren(mark, node, why);
        cell.title = sentence;
        cell.setAttribute("aria-describedby", why.id);
        cell.setAttribute("aria-invalid", severity === "e" ? "true" : "false");
      } else if (cell.childElementCount) {
        cell.replaceChildren(node);
        for (const name of ["title", "aria-describedby", "aria-invalid"]) cell.removeAttribute(name);
      }
      let name = place ? "" : "bkg-first";
      if (problem) name += problem[1] === "e" ? " bkg-e" : " bkg-w";
      if (edited.length && edited.includes(place)) name += " bkg-ed";
      if (marked && place >= marked[0] && place <= marked[1]) name += " bkg-sel";
      if (cell.className !== name) cell.className = name;
      if (row === this.at.row && place === this.at.col) {
        cell.id = `${this.id}a`;
        cell.setAttribute("aria-selected", "true");
      } else if (cell.id) {
        cell.removeAttribute("id");
        cell.removeAttribute("aria-selected");
      }
    });
    return item;
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
    };
    const { scroll, line } = this;
    const top = this.at.row * line;
    const room = scroll.clientHeight - this.head.offsetHeight;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (top + line > scroll.scrollTop + room) scroll.scrollTop = top + line - room;
    const frozen = this.lefts[1];
    const [left, right] = [this.lefts[this.at.col], this.lefts[this.at.col + 1]];
    if (this.at.col) {
      if (left < scroll.scrollLeft + frozen) scroll.scrollLeft = left - frozen;
      else if (right > scroll.scrollLeft + scroll.clientWidth)
        scroll.scrollLeft = Math.min(left - frozen, right - scroll.clientWidth);
    }
    this.draw(true);
    this.input.focus({ preventScroll: true });
    this.input.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.tell();
  }

  place() {
    const { row, col } = this.editing || this.at;
    if (!this.lefts) return;
    const style = this.input.style;
    const left = col ? this.lefts[col] : this.lefts[0] + this.scroll.scrollLeft;
    style.transform = `translate(${left}px, ${this.head.offsetHeight + row * this.line}px)`;
    style.width = `${this.lefts[col + 1] - this.lefts[col]}px`;
    style.zIndex = col ? "2" : "4";
  }

  tell() {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => {
      if (!this.state || !this.meta || this.editing) return;
      const data = this.data(this.at.row);
      if (!data) {
        this.say.textContent = this.state.shown ? "読み込んでいます…" : "表示する行がありません。";
        return;
      }
      const [number, marks, cells, problems, edited] = data;
      const { col } = this.at;
      const mine = problems.filter(([place]) => place === col || place < 0).map((one) => one[2]);
      const state = [marks & 1 ? "削除した行" : "", marks & 2 ? "追加した行" : "", edited.includes(col) ? "直したセル" : ""];
      const words = state.filter(Boolean).join("、");
      const place = `${number} 行目「${this.meta.header[col]}」`;
      const value = visible(cells[col] ?? "") || "空";
      this.say.textContent = `${place}${words ? `（${words}）` : ""}　${mine.join("　") || "問題ありません。"}`;
      this.say.classList.toggle("bkg-bad", problems.some(([p, s]) => (p === col || p < 0) && s === "e"));
      if (document.activeElement === this.input) {
        this.live.textContent = `${place}：${value}。${words ? `${words}。` : ""}${mine.join(" ")}`;
        const cell = document.getElementById(`${this.id}a`);
        if (cell) this.input.setAttribute("aria-activedescendant", cell.id);
        else this.input.removeAttribute("aria-activedescendant");
      }
    }, 60);
  }

  announce(text, bad) {
    clearTimeout(this.telling);
    this.say.textContent = text;
    this.say.classList.toggle("bkg-bad", bad);
    this.live.textContent = text;
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
        const item = this.pool.find((one) => one.row === edit.row);
        if (item) this.put(item, edit.row);
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
    const page = Math.max(1, Math.floor((this.scroll.clientHeight - this.head.offsetHeight) / this.line) - 1);
    const columns = this.meta ? this.meta.header.length : 1;
    const rows = this.state ? this.state.shown : 0;
    const done = (act) => {
      event.preventDefault();
      act();
    };
    if (this.editing) {
      if (key === "Enter" && event.altKey) return done(() => this.insert("\n"));
      if (key === "Enter") return done(() => this.go(row + (shift ? -1 : 1), col));
      if (key === "Tab") return done(() => this.side(shift ? -1 : 1, columns));
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
    if (key === "Tab") return done(() => this.side(shift ? -1 : 1, columns));
    if (key === "Escape") return done(() => this.leave());
    if (key === "F8") return done(() => this.jump(shift));
    if (key === "Delete" || key === "Backspace") return done(() => this.clear());
    const letter = key.toLowerCase();
    if (ctrl && letter === "z") return done(() => this.ask({ do: shift ? "redo" : "undo" }));
    if (ctrl && letter === "y") return done(() => this.ask({ do: "redo" }));
    if (ctrl && letter === "f") return done(() => this.search.focus());
  }

  side(step, columns) {
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
    const td = event.target.closest && event.target.closest("td,th");
    const item = td && this.pool.find((one) => one.tr === td.parentNode);
    return item ? { row: item.row, col: Math.max(0, item.cells.indexOf(td)) } : null;
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

  download(name, bytes) {
    const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    const link = make("a", { href: address, download: name });
    this.root.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    this.announce(`${name} をダウンロードしました。`, false);
  }
}

export default {
  render({ model, el }) {
    const grid = new Grid(model, el);
    return () => grid.end();
  },
};
