#include "experiments/report/page.h"

namespace mixspan {

std::string_view page_style() {
  return R"(
*{box-sizing:border-box}html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:1240px;padding:0 24px 80px;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:30px;line-height:1.2;margin:40px 0 8px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:21px;margin:52px 0 10px;padding-top:14px;border-top:1px solid var(--rule)}
h3{font-size:16px;margin:0 0 8px}p,figcaption,.notes,dl{max-width:76ch}p{margin:8px 0}
a{color:var(--c0)}nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin-top:18px;font-size:14px}
.quiet,figcaption{color:var(--quiet)}figcaption{font-size:13.5px;margin-top:6px}code,pre{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
figure{margin:28px 0 40px;break-inside:avoid}figure svg{display:block;max-width:100%;height:auto}
.narrow{display:none}
.save{font-size:12.5px;margin-top:4px;color:var(--quiet)}.save button{font:inherit;color:var(--c0);background:none;border:0;padding:0 0 0 8px;cursor:pointer}
.tiles{display:flex;flex-wrap:wrap;gap:10px 34px;margin:18px 0;padding:0;list-style:none}
.tiles b{display:block;font-size:24px;line-height:1.2;font-weight:600;font-variant-numeric:tabular-nums}
.tiles span{font-size:13px;color:var(--quiet)}
dl.keys{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;font-size:14px;margin:10px 0}
dl.keys dt{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:13px}dl.keys dd{margin:0;color:var(--quiet);overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:12px 0}
table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:5px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--faint)}
th{color:var(--quiet);font-weight:600;font-size:12.5px;vertical-align:bottom;border-bottom:1px solid var(--rule);line-height:1.25}
th small{display:block;font-weight:400}
th.x,td.x{text-align:left}td.x{max-width:340px;overflow:hidden;text-overflow:ellipsis}
tbody tr:hover td{background:var(--faint)}tr.ref td{font-weight:600}td small{color:var(--quiet);font-size:12.5px}
td:first-child,th:first-child{position:sticky;left:0;background:var(--paper);padding-left:0}
.js th[data-sort]{cursor:pointer}.js th[data-sort]:hover{color:var(--ink)}th[aria-sort=ascending]::after{content:" ↑"}th[aria-sort=descending]::after{content:" ↓"}
.filter{display:none;font:inherit;font-size:14px;padding:5px 9px;width:300px;max-width:100%;color:inherit;background:var(--paper);border:1px solid var(--rule);border-radius:5px}
.js .filter{display:block}.notes{font-size:14px;padding-left:18px}.notes li{margin:3px 0}
details.run{border-bottom:1px solid var(--faint)}details.run>summary{padding:5px 0;cursor:pointer;font-size:14px;display:flex;flex-wrap:wrap;gap:2px 14px;list-style:none;font-variant-numeric:tabular-nums}
details.run>summary::-webkit-details-marker{display:none}details.run>summary::before{content:"▸";color:var(--quiet)}details.run[open]>summary::before{content:"▾"}
details.run summary b{font-weight:500;flex:1 1 260px;overflow-wrap:anywhere}details.run summary span{color:var(--quiet)}
details.run>div{padding:6px 0 20px 20px}pre{overflow:auto;max-height:420px;background:var(--faint);padding:10px 12px;border-radius:5px;margin:8px 0}
pre.cmd{white-space:pre-wrap;overflow-wrap:anywhere}
.s-done{color:var(--c2)!important}.s-failed,.s-unreadable{color:var(--c1)!important;font-weight:600}.s-running,.s-saving{color:var(--c0)!important}
.error{color:var(--c1);overflow-wrap:anywhere}[hidden]{display:none!important}
@media (max-width:800px){body{padding:0 16px 60px;font-size:15px}.wide{display:none}.narrow{display:block}h1{font-size:25px;margin-top:24px}
h2{margin-top:38px}td.x{max-width:170px}dl.keys{grid-template-columns:1fr}dl.keys dd{margin-bottom:6px}}
@media print{:root{color-scheme:light;--paper:#fff;--ink:#000;--quiet:#444;--rule:#bbb;--faint:#eee;--c0:#0072b2;--c1:#d55e00;--c2:#00805f;--c3:#b0518a;
--c4:#a87400;--c5:#2b8cc4;--c6:#6b5b95;--c7:#6e6e6e;--q0:#bcd7ee;--q1:#a3c7e6;--q2:#87b5dc;--q3:#6aa1d0;--q4:#4f8bc1;--q5:#3975af;--q6:#265e98;--q7:#16477d;--q8:#0b3160}
body{max-width:none;font-size:10.5pt;padding:0}nav,.filter,.js .filter{display:none}.wide{display:block}.narrow{display:none}table{font-size:7.5pt}
th,td{padding:2px 5px}td:first-child,th:first-child{position:static}.scroll{overflow:visible}h2{break-after:avoid}pre{max-height:none}.save{display:none}}
)";
}

std::string_view page_script() {
  // Without it everything can be read; with it tables sort and filter.
  return R"js(
(function(){
'use strict';
document.documentElement.classList.add('js');
function value(row,i){var c=row.cells[i],v=c.getAttribute('data-v');return v===null?c.textContent:v}
function compare(a,b){
  var x=parseFloat(a),y=parseFloat(b),nx=a!==''&&isFinite(a),ny=b!==''&&isFinite(b);
  if(nx&&ny)return x-y;
  return a.localeCompare(b,undefined,{numeric:true});
}
document.querySelectorAll('table.sortable').forEach(function(table){
  var heads=table.tHead.rows[0].cells,body=table.tBodies[0];
  Array.prototype.forEach.call(heads,function(th,i){
    th.setAttribute('data-sort','');th.tabIndex=0;
    function sort(){
      var down=th.getAttribute('aria-sort')==='ascending',rows=Array.prototype.slice.call(body.rows);
      Array.prototype.forEach.call(heads,function(h){h.removeAttribute('aria-sort')});
      th.setAttribute('aria-sort',down?'descending':'ascending');
      rows.sort(function(a,b){
        var x=value(a,i),y=value(b,i);
        if((x==='')!==(y===''))return x===''?1:-1;
        return down?compare(y,x):compare(x,y);
      });
      rows.forEach(function(r){body.appendChild(r)});
    }
    th.addEventListener('click',sort);
    th.addEventListener('keydown',function(e){if(e.key==='Enter'||e.key===' '){e.preventDefault();sort()}});
  });
});
// A figure as a file, in the colours for light paper and at the size of a desktop.
function drawing(figure){
  var svg=figure.querySelector('.wide svg').cloneNode(true),box=svg.getAttribute('viewBox').split(' ').map(Number);
  box=[box[0]-12,box[1]-12,box[2]+24,box[3]+24];
  var style=document.getElementById('of-figures').textContent.replace(/@media \(prefers-color-scheme:dark\)\{:root\{[^}]*\}\}/,'');
  var paper='<rect x="'+box[0]+'" y="'+box[1]+'" width="'+box[2]+'" height="'+box[3]+'" style="fill:var(--paper)"/>';
  svg.setAttribute('viewBox',box.join(' '));svg.setAttribute('width',box[2]);svg.setAttribute('height',box[3]);
  svg.setAttribute('xmlns',svg.namespaceURI);
  svg.insertAdjacentHTML('afterbegin','<style>'+style+'</style>'+paper);
  return new XMLSerializer().serializeToString(svg);
}
function save(url,name){var a=document.createElement('a');a.href=url;a.download=name;a.click()}
function asUrl(figure){return 'data:image/svg+xml;charset=utf-8,'+encodeURIComponent(drawing(figure))}
function asPng(figure,done){
  var image=new Image();
  image.onload=function(){
    var canvas=document.createElement('canvas');
    canvas.width=2*image.width;canvas.height=2*image.height;
    canvas.getContext('2d').drawImage(image,0,0,canvas.width,canvas.height);
    done(canvas.toDataURL('image/png'));
  };
  image.setAttribute('src',asUrl(figure));
}
document.querySelectorAll('figure').forEach(function(figure){
  var line=document.createElement('div');
  line.className='save';
  line.textContent='save as';
  function button(kind,act){
    var b=document.createElement('button');
    b.type='button';b.textContent=kind;b.addEventListener('click',act);line.appendChild(b);
  }
  button('SVG',function(){save(asUrl(figure),figure.id+'.svg')});
  button('PNG',function(){asPng(figure,function(url){
    figure.setAttribute('data-png',url.length);save(url,figure.id+'.png')})});
  figure.appendChild(line);
});
document.querySelectorAll('input.filter').forEach(function(input){
  var rows=document.querySelectorAll(input.getAttribute('data-for'));
  input.addEventListener('input',function(){
    var words=input.value.toLowerCase().split(/\s+/);
    rows.forEach(function(row){
      var text=(row.querySelector('summary')||row).textContent.toLowerCase();
      row.hidden=!words.every(function(w){return text.indexOf(w)>=0});
    });
  });
});
})();
)js";
}

}  // namespace mixspan
