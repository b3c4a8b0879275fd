//! Not of async-trait: makes the future of a method in a function without a `where` clause.
//!
//! That a future is `Send` takes a walk through all types that it keeps. rustc remembers what it saw on
//! the walk where no `where` clause is in sight, and forgets it below the clauses that `transform_sig`
//! writes: in DataFusion, whose plans hold expressions and those the whole of SQL's syntax, that is seconds
//! for each method. So a method of an `impl` without generics becomes
//!
//!     fn f<'life0, 'life1, 'async_trait>(&'life0 self, x: &'life1 T) -> Pin<Box<...>> where ... {
//!         fn __apart<'__apart>(__self: &'__apart S, x: &'__apart T) -> Pin<Box<... + Send + '__apart>> {
//!             Box::pin(async move { ... })
//!         }
//!         __apart(self, x)
//!     }
//!
//! Whatever has generics or lifetimes of its own, names `Self`, or has an attribute that may look at its body
//! is expanded as async-trait does.

use crate::receiver::ReplaceSelf;
use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{quote, ToTokens};
use syn::visit_mut::VisitMut;
use syn::{
    Attribute, Block, FnArg, Ident, ImplItem, ItemImpl, Pat, PathArguments, ReceiverKind, ReturnType, Safety,
    Signature, Type,
};

/// The type of an `impl` whose methods can be taken apart.
pub struct Apart(Type);

impl Apart {
    /// None if the `impl` has generics or types of its own: a function within it cannot name them.
    pub fn of(input: &ItemImpl) -> Option<Self> {
        let Type::Path(path) = &*input.self_ty else {
            return None;
        };
        let segments = &path.path.segments;
        let plain = segments.iter().all(|s| matches!(s.arguments, PathArguments::None));
        let types = input.items.iter().any(|item| matches!(item, ImplItem::Type(_)));
        let generic = !input.generics.params.is_empty();
        if path.qself.is_some() || !plain || types || generic {
            return None;
        }
        Some(Apart(Type::Path(path.clone())))
    }

    /// The function and its call, in place of the body of a method.
    pub fn body(&self, attrs: &[Attribute], sig: &Signature, block: &Block) -> Option<TokenStream> {
        let is_self = |tt: &TokenTree| matches!(tt, TokenTree::Ident(ident) if ident == "Self");
        if !attrs.iter().all(is_inert)
            || !matches!(sig.safety, Safety::Default)
            || !sig.generics.params.is_empty()
            || any(&sig.to_token_stream(), &is_self)
            || any(&block.to_token_stream(), &is_self)
        {
            return None;
        }
        let ret = match &sig.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ret) => owned(ret.to_token_stream())?,
        };
        let (mut params, mut args, mut decls) = (Vec::new(), Vec::new(), Vec::new());
        for input in sig.inputs.iter().filter(|input| !is_ignored(input)) {
            let (param, arg, decl) = self.param(input)?;
            params.push(param);
            args.push(arg);
            decls.push(decl);
        }
        let mut block = block.clone();
        ReplaceSelf.visit_block_mut(&mut block);
        Some(quote! {
            #[allow(clippy::borrowed_box, clippy::ptr_arg, clippy::too_many_arguments)]
            fn __apart<'__apart>(#(#params),*) -> ::core::pin::Pin<Box<
                dyn ::core::future::Future<Output = #ret> + ::core::marker::Send + '__apart
            >> {
                Box::pin(async move {
                    if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<#ret> {
                        #[allow(unreachable_code)]
                        return __ret;
                    }
                    #(#decls)*
                    let __ret: #ret = #block;
                    #[allow(unreachable_code)]
                    __ret
                })
            }
            __apart(#(#args),*)
        })
    }

    /// A parameter of the function, what the method gives for it, and what holds it in the future: all of it,
    /// to its end, as async-trait does.
    fn param(&self, input: &FnArg) -> Option<(TokenStream, TokenStream, TokenStream)> {
        let of = &self.0;
        match input {
            FnArg::Receiver(receiver) if receiver.attrs.is_empty() => match &receiver.kind {
                ReceiverKind::Reference(_, None, mutability) => {
                    let arg = &receiver.self_token;
                    let this = Ident::new("__self", arg.span);
                    Some((
                        quote!(#this: &'__apart #mutability #of),
                        quote!(#arg),
                        quote!(let #mutability #this = #this;),
                    ))
                }
                _ => None,
            },
            FnArg::Typed(arg) if arg.attrs.is_empty() => {
                let Pat::Ident(pat) = &*arg.pat else {
                    return None;
                };
                let (ident, mutability) = (&pat.ident, &pat.mutability);
                let refers = matches!(*arg.ty, Type::Reference(_));
                if pat.by_ref.is_some() || pat.subpat.is_some() || refers && mutability.is_some() {
                    return None;
                }
                let ty = living(arg.ty.to_token_stream())?;
                let decl = (!refers).then(|| quote!(let #mutability #ident = #ident;));
                Some((quote!(#ident: #ty), quote!(#ident), decl.unwrap_or_default()))
            }
            _ => None,
        }
    }
}

/// Not a macro that would look at the body.
fn is_inert(attr: &Attribute) -> bool {
    ["doc", "allow", "expect", "warn", "deny", "forbid", "cfg", "deprecated", "must_use", "inline"]
        .iter()
        .any(|name| attr.path().is_ident(name))
}

/// A type that refers to nothing.
fn owned(ty: TokenStream) -> Option<TokenStream> {
    let refers = |tt: &TokenTree| match tt {
        TokenTree::Punct(punct) => matches!(punct.as_char(), '&' | '\''),
        TokenTree::Ident(ident) => ident == "impl",
        _ => false,
    };
    (!any(&ty, &refers)).then_some(ty)
}

/// A type whose references all live as long as the future. What a `mut` holds cannot be cut short.
fn living(ty: TokenStream) -> Option<TokenStream> {
    let words = ["impl", "mut", "fn", "for", "Fn", "FnMut", "FnOnce", "AsyncFn", "AsyncFnMut", "AsyncFnOnce"];
    let other = |tt: &TokenTree| match tt {
        TokenTree::Punct(punct) => punct.as_char() == '\'',
        TokenTree::Ident(ident) => words.iter().any(|word| ident == word),
        _ => false,
    };
    if any(&ty, &other) {
        return None;
    }
    Some(each(ty, &|tt, out| {
        let refers = matches!(&tt, TokenTree::Punct(punct) if punct.as_char() == '&');
        out.extend([tt]);
        if refers {
            out.extend(quote!('__apart));
        }
    }))
}

/// A reference that the method does not look at.
fn is_ignored(input: &FnArg) -> bool {
    match input {
        FnArg::Typed(arg) => matches!(*arg.pat, Pat::Wild(_)) && matches!(*arg.ty, Type::Reference(_)),
        FnArg::Receiver(_) => false,
    }
}

fn any(tokens: &TokenStream, is: &dyn Fn(&TokenTree) -> bool) -> bool {
    tokens.clone().into_iter().any(|tt| match &tt {
        TokenTree::Group(group) => any(&group.stream(), is),
        tt => is(tt),
    })
}

fn each(tokens: TokenStream, change: &dyn Fn(TokenTree, &mut TokenStream)) -> TokenStream {
    let mut out = TokenStream::new();
    for tt in tokens {
        match tt {
            TokenTree::Group(group) => {
                let mut new = Group::new(group.delimiter(), each(group.stream(), change));
                new.set_span(group.span());
                out.extend([TokenTree::Group(new)]);
            }
            tt => change(tt, &mut out),
        }
    }
    out
}
