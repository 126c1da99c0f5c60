//! The look of the status page: calm colours, light and dark, tables that become cards on a phone.

/// The style sheet, without the labels of the cards, which depend on the language.
pub(super) const SHEET: &str = "\
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1c2430;--quiet:#5d6878;--line:#e1e5ea;--link:#1558b0;--spark:#3b7dd8;--up:#1a7f4b;--up-bg:#e3f4ea;--no_data:#5d6878;--no_data-bg:#eceff3;--stale:#8a5a00;--stale-bg:#fdf1d8;--failing:#b3261e;--failing-bg:#fce8e6}
@media (prefers-color-scheme:dark){:root{--page:#12161c;--card:#1a2029;--text:#e4e8ee;--quiet:#98a3b3;--line:#2b333f;--link:#8ab8f5;--spark:#6ba4ee;--up:#7fd6a4;--up-bg:#15372a;--no_data:#a7b1bf;--no_data-bg:#28303b;--stale:#f0c468;--stale-bg:#3c2f12;--failing:#f5a29b;--failing-bg:#43201e}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:80rem;padding:1.25rem;background:var(--page);color:var(--text);font:15px/1.5 system-ui,\"Segoe UI\",Roboto,\"Noto Sans\",\"Noto Sans CJK SC\",\"PingFang SC\",\"Microsoft YaHei\",sans-serif}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
header,nav,form,.pager{display:flex;flex-wrap:wrap;gap:.35rem 1rem;align-items:baseline}
header{justify-content:space-between}
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:0}
.quiet{color:var(--quiet)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.75rem;margin:1.1rem 0}
.tile{display:block;padding:.6rem .9rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem;color:var(--quiet);font-size:.9rem}
.tile::first-letter{text-transform:uppercase}
a.tile:hover{text-decoration:none;border-color:var(--link)}a.tile[aria-current]{border-color:var(--link)}
.tile b{display:block;color:var(--text);font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums}
.tile.bad b{color:var(--failing)}.tile.warn b{color:var(--stale)}
section{background:var(--card);border:1px solid var(--line);border-radius:.5rem;margin:0 0 1.1rem;overflow:hidden}
.head{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem;justify-content:space-between;align-items:center;padding:.7rem .9rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.4rem .9rem;border-top:1px solid var(--line);vertical-align:middle}
th{font-size:.85rem;font-weight:600;color:var(--quiet);white-space:nowrap}
th a{color:inherit}th[aria-sort] a{color:var(--text)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.name{font-weight:500;overflow-wrap:anywhere;min-width:7rem}.domains td.name{min-width:16.5rem}td.name small{margin-left:.6rem;white-space:nowrap;font-weight:400}
td.error,td.message{font-size:.9rem;overflow-wrap:anywhere;min-width:10rem}
time,.nowrap{white-space:nowrap}
svg{vertical-align:middle;margin-left:.6rem;border-bottom:1px solid var(--line)}svg:empty{border-color:transparent}
path{fill:none;stroke:var(--spark);stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}
.state{display:inline-block;padding:0 .55rem;border-radius:1rem;font-size:.85rem;white-space:nowrap}
.state.up{color:var(--up);background:var(--up-bg)}.state.no_data{color:var(--no_data);background:var(--no_data-bg)}.state.stale{color:var(--stale);background:var(--stale-bg)}.state.failing{color:var(--failing);background:var(--failing-bg)}
input,button{font:inherit;color:inherit;background:var(--page);border:1px solid var(--line);border-radius:.35rem;padding:.2rem .6rem}
input{width:14rem;max-width:100%}button{cursor:pointer}
.pager{padding:.6rem .9rem;border-top:1px solid var(--line)}
footer{font-size:.9rem}
@media (max-width:44rem){
body{padding:.75rem}.tiles{grid-template-columns:repeat(6,1fr);gap:.5rem}.tile{grid-column:span 2;padding:.4rem .7rem}.tile:nth-child(-n+2),.tile:nth-last-child(-n+2){grid-column:span 3}
table,tbody,tr,td{display:block}
thead tr{display:flex;flex-wrap:wrap;gap:.2rem .9rem;padding:.3rem .9rem .6rem}th{border:0;padding:0}.plain thead{display:none}
tr{padding:.5rem .9rem;border-top:1px solid var(--line)}thead tr{border-top:0}
td,td.n{border:0;padding:.1rem 0;text-align:right}td.error,td.message{text-align:left}
td::before{float:left;margin-right:1rem;color:var(--quiet);font-size:.85rem;white-space:nowrap}
td.error::before,td.message::before{float:none;display:block}
td.name,.domains td.name{text-align:left;font-weight:600;min-width:0}td.name::before{content:none!important}td:empty{display:none}
input{flex:1}}
";
