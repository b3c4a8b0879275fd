//! Not of async-trait: makes the future of a method in a function without a `where` clause.
//!
//! That a future is `Send` takes a walk through all types that it keeps. rustc remembers what it saw on
//! the walk where no `where` clause is in sight, and forgets it below the clauses that `transform_sig`
//! writes: in DataFusion, whose plans hold expressions and those the whole of SQL's syntax, that is seconds
//! for each method. So a method of an `impl` without generics becomes
//!
//!     fn f<'life0, 'life1, 'async_trait>(&'life0 self, x: &'life1 T) -> Pin<Box<...>> where ... {
//!         fn __apart<'life>(__self: &'life S, x: &'life T) -> Pin<Box<... + Send + 'life>> {
//!             Box::pin(async move { ... })
//!         }
//!         __apart(self, x)
//!     }
//!
//! Whatever has generics or lifetimes of its own is expanded as async-trait does.

use crate::receiver::ReplaceSelf;
use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{quote, ToTokens};
use syn::visit_mut::VisitMut;
use syn::{
    Block, FnArg, ImplItem, ItemImpl, Pat, PathArguments, ReceiverKind, ReturnType, Signature, Type,
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
    pub fn body(&self, sig: &Signature, block: &Block) -> Option<TokenStream> {
        if !sig.generics.params.is_empty() {
            return None;
        }
        let ret = match &sig.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ret) => self.owned(ret.to_token_stream())?,
        };
        let (mut params, mut args) = (Vec::new(), Vec::new());
        for input in sig.inputs.iter().filter(|input| !is_ignored(input)) {
            let (param, arg) = self.param(input)?;
            params.push(param);
            args.push(arg);
        }
        let mut block = block.clone();
        ReplaceSelf.visit_block_mut(&mut block);
        let block = self.named(block.to_token_stream());
        Some(quote! {
            fn __apart<'life>(#(#params),*) -> ::core::pin::Pin<Box<
                dyn ::core::future::Future<Output = #ret> + ::core::marker::Send + 'life
            >> {
                Box::pin(async move {
                    if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<#ret> {
                        #[allow(unreachable_code)]
                        return __ret;
                    }
                    let __ret: #ret = #block;
                    #[allow(unreachable_code)]
                    __ret
                })
            }
            __apart(#(#args),*)
        })
    }

    /// A parameter of the function, and what the method gives for it.
    fn param(&self, input: &FnArg) -> Option<(TokenStream, TokenStream)> {
        let of = &self.0;
        match input {
            FnArg::Receiver(receiver) => match &receiver.kind {
                ReceiverKind::Reference(_, None, None) => {
                    Some((quote!(__self: &'life #of), quote!(self)))
                }
                ReceiverKind::Reference(_, None, Some(_)) => {
                    Some((quote!(__self: &'life mut #of), quote!(self)))
                }
                _ => None,
            },
            FnArg::Typed(arg) if arg.attrs.is_empty() => {
                let Pat::Ident(pat) = &*arg.pat else {
                    return None;
                };
                if pat.by_ref.is_some() {
                    return None;
                }
                let (ident, ty) = (&pat.ident, self.living(arg.ty.to_token_stream())?);
                Some((quote!(#pat: #ty), ident.to_token_stream()))
            }
            FnArg::Typed(_) => None,
        }
    }

    /// A type that refers to nothing.
    fn owned(&self, ty: TokenStream) -> Option<TokenStream> {
        let refers = |tt: &TokenTree| match tt {
            TokenTree::Punct(punct) => matches!(punct.as_char(), '&' | '\''),
            TokenTree::Ident(ident) => ident == "impl",
            _ => false,
        };
        let ty = self.named(ty);
        if any(&ty, &refers) {
            return None;
        }
        Some(ty)
    }

    /// A type whose references all live as long as the future. What a `mut` holds cannot be cut short.
    fn living(&self, ty: TokenStream) -> Option<TokenStream> {
        let other = |tt: &TokenTree| match tt {
            TokenTree::Punct(punct) => punct.as_char() == '\'',
            TokenTree::Ident(ident) => ["impl", "mut", "fn", "for"].iter().any(|word| ident == word),
            _ => false,
        };
        if any(&ty, &other) {
            return None;
        }
        Some(each(self.named(ty), &|tt, out| {
            let refers = matches!(&tt, TokenTree::Punct(punct) if punct.as_char() == '&');
            out.extend([tt]);
            if refers {
                out.extend(quote!('life));
            }
        }))
    }

    /// The tokens with the type's name in place of `Self`.
    fn named(&self, tokens: TokenStream) -> TokenStream {
        each(tokens, &|tt, out| match &tt {
            TokenTree::Ident(ident) if ident == "Self" => out.extend(self.0.to_token_stream()),
            _ => out.extend([tt]),
        })
    }
}

/// A reference that the method does not look at.
fn is_ignored(input: &FnArg) -> bool {
    match input {
        FnArg::Typed(arg) => {
            matches!(*arg.pat, Pat::Wild(_)) && matches!(*arg.ty, Type::Reference(_))
        }
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
